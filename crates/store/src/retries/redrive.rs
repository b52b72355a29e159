//! Retries of some failures of a job that still runs: they are taken back, and what failed is sent
//! again.

use std::sync::Arc;

use headway_domain::{Error, Job, events::Caller, jobs::JobMeta};
use sea_orm::{FromQueryResult, Value};

use crate::{
    db::{Db, Durability, Tx},
    error::StoreError,
    ground::{committed::Committed, numbers::unsigned},
    jobs::{
        target::Target,
        view::{Controlled, JobView},
    },
    retries::{filter::FailureFilter, retry::Retry},
    slice::rows::failure::WHOLE_PAGE,
    store::Store,
};

/// Failures that one transaction takes back at most, each perhaps in a page of its own.
const MAX_FAILURES_PER_TX: u32 = 2000;

#[derive(Debug, FromQueryResult)]
struct FailureKeyRow {
    seq: i64,
    page: i64,
    idx: i64,
}

impl FailureKeyRow {
    /// The page, and the index of the item; none where the page could not be split.
    fn subject(&self) -> Result<(u32, Option<u32>), StoreError> {
        Ok((unsigned(self.page)?, u32::try_from(self.idx).ok()))
    }
}

/// The run whose failures are taken back, and the number of the last one that was there at the
/// beginning: what fails again meanwhile is not run a third time.
#[derive(Debug, Clone, Copy)]
struct Until {
    run: u32,
    seq: u64,
}

impl Store {
    /// Runs the failures that match again, durably, while the job goes on; `None` where it has
    /// ended, and nothing was done.
    ///
    /// # Errors
    /// [`Error::NothingToRetry`] where no failure is like that.
    pub(crate) async fn redrive(
        &self,
        target: Target<'_>,
        meta: &Arc<JobMeta>,
        retry: &Retry,
        caller: &Caller,
    ) -> Result<Option<Controlled>, StoreError> {
        let db = &self.db;
        let name = target.name;
        let mut committed = Committed::default();
        let mut until: Option<Until> = None;
        loop {
            let tx = db.write(Durability::Full).await?;
            let mut slice = target.locked(db.lock_job(&tx, meta).await?)?;
            let job = slice.job();
            let first = until.is_none();
            let limit = *until.get_or_insert(Until {
                run: job.run,
                seq: job.counts.failures,
            });
            let over = job.phase.is_final() || job.run != limit.run;
            if over && first {
                return Ok(None);
            }
            if over {
                break;
            }
            if retry.rehearse {
                let view = db.rehearsed(&tx, job.clone(), &retry.filter).await?;
                return Ok(Some(Controlled { view, committed }));
            }
            let matching = db.matching_failures(&tx, job, limit, &retry.filter).await?;
            if matching.is_empty() && first {
                return Err(Error::NothingToRetry(name.clone()).into());
            }
            let numbers = matching.iter().map(|failure| failure.seq);
            db.delete_failures(&tx, job, numbers).await?;
            slice.set_caller(caller.clone());
            let failures = matching.iter().map(FailureKeyRow::subject);
            let failures: Vec<_> = failures.collect::<Result<_, _>>()?;
            let mut pages: Vec<u32> = failures.iter().map(|(page, _)| *page).collect();
            pages.dedup();
            let of_job: Vec<_> = pages.iter().map(|page| (meta.key, *page)).collect();
            db.load_pages(&tx, std::slice::from_mut(&mut slice), &of_job)
                .await?;
            db.load_items_of(&tx, &mut slice, &pages).await?;
            let batches = slice.page_rows().values().map(|page| page.row.batch);
            let batches: Vec<u32> = batches.collect();
            db.load_batches(&tx, &mut slice, &batches).await?;
            slice.redrive(&failures)?;
            db.advance(&tx, &mut slice).await?;
            committed.merge(db.write_slices(&tx, vec![slice]).await?);
            tx.commit().await?;
            if matching.len() < MAX_FAILURES_PER_TX as usize {
                break;
            }
        }
        let view = self.job_known(meta).await?;
        Ok(Some(Controlled { view, committed }))
    }
}

impl Db {
    /// The next failures that match, page by page.
    async fn matching_failures(
        &self,
        tx: &Tx<'_>,
        job: &Job,
        until: Until,
        filter: &FailureFilter,
    ) -> Result<Vec<FailureKeyRow>, StoreError> {
        let (matching, more) = filter.condition(self, 5);
        let sql = format!(
            "SELECT f.seq, f.page, f.idx FROM failure f \
             WHERE f.job_key = $1 AND f.run = $2 AND f.seq <= $3 AND {matching} ORDER BY f.page, f.idx LIMIT $4"
        );
        let values: [Value; 4] = [
            job.meta.key.into(),
            i64::from(job.run).into(),
            i64::try_from(until.seq).unwrap_or(i64::MAX).into(),
            i64::from(MAX_FAILURES_PER_TX).into(),
        ];
        self.all(&**tx, sql, values.into_iter().chain(more)).await
    }

    /// What the job would be like.
    async fn rehearsed(
        &self,
        tx: &Tx<'_>,
        mut job: Job,
        filter: &FailureFilter,
    ) -> Result<JobView, StoreError> {
        let (matching, more) = filter.condition(self, 3);
        let of = |what: &str| {
            format!(
                "SELECT count(*) AS value FROM failure f WHERE f.job_key = $1 AND f.run = $2 AND {matching} AND {what}"
            )
        };
        let values = || {
            let of_run: [Value; 2] = [job.meta.key.into(), i64::from(job.run).into()];
            of_run.into_iter().chain(more.clone())
        };
        let items = self.one_int(&**tx, of("f.idx >= 0"), values()).await?;
        let splits = self
            .one_int(&**tx, of(&format!("f.idx = {WHOLE_PAGE}")), values())
            .await?;
        let (items, splits): (u64, u64) = (
            unsigned(items.unwrap_or(0))?,
            unsigned(splits.unwrap_or(0))?,
        );
        if items + splits == 0 {
            return Err(Error::NothingToRetry(job.meta.name.clone()).into());
        }
        job.counts.rehearse_redrive(items, splits);
        Ok(JobView::new(job))
    }
}
