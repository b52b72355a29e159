//! Retries: of a job as a whole, or of some of its failures.

use headway_domain::{Error, Job, events::Caller, retries::CarriedCounts};
use sea_orm::{FromQueryResult, Value};

use crate::{
    db::{Db, Durability, Tx},
    error::StoreError,
    ground::{committed::Committed, numbers::unsigned},
    jobs::{
        target::Target,
        view::{Controlled, JobView},
    },
    prerequisites::cycle_search::Needing,
    retries::filter::FailureFilter,
    slice::rows::failure::WHOLE_PAGE,
    store::Store,
};

/// How to retry a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retry {
    /// Which failures are run again; what was discarded is in any case.
    pub filter: FailureFilter,
    /// Whether the jobs that failed because of this one wait for it again.
    pub dependents: bool,
    /// Whether to change nothing, and only say what the job would be like.
    pub rehearse: bool,
}

#[derive(Debug, FromQueryResult)]
struct CarriedRow {
    items: i64,
    splits: i64,
}

impl Store {
    /// Runs again what failed or was discarded in a job that has ended, durably, or the failures
    /// that are asked for: these also of a job that runs.
    ///
    /// # Errors
    /// [`Error::NothingToRetry`] where no failure is like that, and nothing else is left to run,
    /// and [`Error::Cycle`] where the job would wait again for one that waits for it by now.
    pub async fn retry_job(
        &self,
        job: impl Into<Target<'_>>,
        retry: &Retry,
        caller: &Caller,
    ) -> Result<Controlled, StoreError> {
        let job = job.into();
        let name = job.name;
        let meta = self.named(name).await?;
        if !retry.filter.is_everything()
            && let Some(redriven) = self.redrive(job, &meta, retry, caller).await?
        {
            return Ok(redriven);
        }
        let db = &self.db;
        let waits = db.would_wait_again(meta.key).await?;
        let tx = db.write(Durability::Full).await?;
        if waits {
            db.take_turns(&tx, name.partition.as_str()).await?;
        }
        let mut slice = job.locked(db.lock_job(&tx, &meta).await?)?;
        slice.set_caller(caller.clone());
        // What is refused is refused before anything is counted.
        slice.check_retry()?;
        if waits {
            let (partition, own) = (name.partition.as_str(), name.job.as_str());
            let cycles = db
                .cycles_of_retries(&tx, partition, &[own], Needing::Waiting)
                .await?;
            if let Some(cycle) = cycles.path(own) {
                let job = name.clone();
                return Err(Error::Cycle { job, cycle }.into());
            }
        }
        let carried = db.carry(&tx, slice.job(), &retry.filter).await?;
        if retry.rehearse {
            // The transaction ends without a commit.
            slice.rehearse_retry(carried)?;
            return Ok(Controlled {
                view: JobView::new(slice.into_job()),
                committed: Committed::default(),
            });
        }
        slice.retry_carrying(carried)?;
        if db.is_suspended(&tx, &name.partition).await? {
            slice.suspend();
        }
        let waits = db.wait_again(&tx, &mut [&mut slice]).await?;
        if retry.dependents {
            self.add_retry_task(&tx, &meta).await?;
        }
        db.advance(&tx, &mut slice).await?;
        let mut committed = db.write_slices(&tx, vec![slice]).await?;
        tx.commit().await?;
        committed.releases |= waits || retry.dependents;
        let view = self.job_known(&meta).await?;
        Ok(Controlled { view, committed })
    }
}

impl Db {
    /// Repeats the failures that are not to be run again under the next run, numbered from 1.
    async fn carry(
        &self,
        tx: &Tx<'_>,
        job: &Job,
        filter: &FailureFilter,
    ) -> Result<CarriedCounts, StoreError> {
        if filter.is_everything() {
            return Ok(CarriedCounts::default());
        }
        let (matching, values) = filter.condition(self, 3);
        self.repeat_failures(tx, job, &matching, values).await?;
        let sql = format!(
            "SELECT count(CASE WHEN idx >= 0 THEN 1 END) AS items, count(CASE WHEN idx = {WHOLE_PAGE} THEN 1 END) AS splits \
             FROM failure WHERE job_key = $1 AND run = $2"
        );
        let count = |run: u32| {
            let values = [Value::from(job.meta.key), Value::from(i64::from(run))];
            self.one::<CarriedRow>(&**tx, sql.as_str(), values)
        };
        let (before, after) = (count(job.run).await?, count(job.run + 1).await?);
        let (Some(before), Some(after)) = (before, after) else {
            return Err(StoreError::Broken("a count gave nothing".to_owned()));
        };
        let matching = before.items + before.splits - after.items - after.splits;
        let counts = &job.counts;
        let rest = counts.discarded + counts.open_items() + counts.unsplit + counts.splitting;
        if matching == 0 && rest == 0 {
            return Err(Error::NothingToRetry(job.meta.name.clone()).into());
        }
        Ok(CarriedCounts {
            items: unsigned(after.items)?,
            splits: unsigned(after.splits)?,
        })
    }
}
