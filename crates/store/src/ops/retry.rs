//! Retries: of a job as a whole, or of some of its failures.

use headway_domain::{Error, Job, JobName, event::Caller, retries::CarriedCounts};
use sea_orm::{FromQueryResult, Value};

use super::{control::Controlled, cycles::Needing, read::JobView};
use crate::{
    Committed, Store,
    db::{Db, Durability, Tx, keys},
    error::StoreError,
    rows::unsigned,
};

/// Which failures are meant; what is empty leaves out none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailureFilter {
    /// With one of these codes.
    pub codes: Vec<String>,
    /// In one of these batches, or below.
    pub batches: Vec<u32>,
    /// Of these items, by page and index; without an index of the page that could not be split.
    pub items: Vec<(u32, Option<u32>)>,
}

impl FailureFilter {
    /// Whether all failures are meant.
    pub fn is_everything(&self) -> bool {
        self.codes.is_empty() && self.batches.is_empty() && self.items.is_empty()
    }

    /// The condition that a failure `f` of the job bound as $1 is meant, and what is bound from $`first` on.
    pub(super) fn condition(&self, db: &Db, first: usize) -> (String, Vec<Value>) {
        let mut parts = vec!["f.idx >= -1".to_owned()];
        let mut values: Vec<Value> = Vec::new();
        if !self.codes.is_empty() {
            values.push(keys::texts(&self.codes));
            let codes = db.texts(first + values.len() - 1);
            parts.push(format!("f.code IN ({codes})"));
        }
        if !self.batches.is_empty() {
            values.push(keys::ints(self.batches.iter().copied().map(i64::from)));
            let among = db.is_in("b.number", first + values.len() - 1);
            parts.push(format!(
                "f.page IN (WITH RECURSIVE below AS ( \
                   SELECT b.number FROM batch b WHERE b.job_key = $1 AND {among} \
                   UNION SELECT b.number FROM batch b JOIN below o ON b.job_key = $1 AND b.parent = o.number \
                 ) SELECT p.number FROM page p JOIN below o ON p.job_key = $1 AND p.batch = o.number)"
            ));
        }
        if !self.items.is_empty() {
            let items = self.items.iter();
            let items = items.map(|(page, index)| (i64::from(*page), index.map_or(-1, i64::from)));
            values.push(keys::pairs(items));
            let pairs = db.pairs("k", first + values.len() - 1);
            parts.push(format!("(f.page, f.idx) IN (SELECT k.a, k.b FROM {pairs})"));
        }
        (parts.join(" AND "), values)
    }
}

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
    /// Runs again what failed or was discarded in a job that has ended, durably, or the failures that are asked for: these also of a
    /// job that runs.
    ///
    /// # Errors
    /// [`Error::NothingToRetry`] where no failure is like that, and nothing else is left to run, and [`Error::Cycle`] where the job
    /// would wait again for one that waits for it by now.
    pub async fn retry_job(
        &self,
        name: &JobName,
        retry: &Retry,
        caller: &Caller,
    ) -> Result<Controlled, StoreError> {
        let meta = self.named(name).await?;
        if !retry.filter.is_everything()
            && let Some(redriven) = self.redrive(name, &meta, retry, caller).await?
        {
            return Ok(redriven);
        }
        let db = &self.db;
        let waits = db.would_wait_again(meta.key).await?;
        let tx = db.write(Durability::Full).await?;
        if waits {
            db.take_turns(&tx, name.partition.as_str()).await?;
        }
        let mut slice = db
            .lock_job(&tx, &meta)
            .await?
            .ok_or_else(|| Error::JobNotFound(name.clone()))?;
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
            self.owe_retries(&tx, &meta).await?;
        }
        db.advance(&tx, &mut slice).await?;
        let mut committed = db.write_slices(&tx, vec![slice]).await?;
        tx.commit().await?;
        committed.releases |= waits || retry.dependents;
        let view = self.job(name).await?;
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
        let (meant, values) = filter.condition(self, 3);
        let of_run = || [Value::from(job.meta.key), Value::from(i64::from(job.run))];
        let sql = format!(
            "INSERT INTO failure (job_key, run, seq, page, idx, code, message, details, attempt, recorded, worker) \
             SELECT f.job_key, f.run + 1, ROW_NUMBER() OVER (ORDER BY f.seq), f.page, f.idx, f.code, f.message, f.details, \
             f.attempt, f.recorded, f.worker FROM failure f \
             WHERE f.job_key = $1 AND f.run = $2 AND f.idx >= -1 AND NOT ({meant})"
        );
        let values: Vec<Value> = of_run().into_iter().chain(values).collect();
        self.run(&**tx, sql, values).await?;
        let count = |sql: &'static str, run: u32| {
            let values = [Value::from(job.meta.key), Value::from(i64::from(run))];
            self.one::<CarriedRow>(&**tx, sql, values)
        };
        let sql = "SELECT count(CASE WHEN idx >= 0 THEN 1 END) AS items, count(CASE WHEN idx = -1 THEN 1 END) AS splits \
                   FROM failure WHERE job_key = $1 AND run = $2";
        let (before, after) = (count(sql, job.run).await?, count(sql, job.run + 1).await?);
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

/// The failures of a job's present run that a list shows, as a condition on `f` with what is bound from $`first` on.
pub(super) fn listed(filter: &FailureFilter, db: &Db, first: usize) -> (String, Vec<Value>) {
    match filter.is_everything() {
        true => ("TRUE".to_owned(), Vec::new()),
        false => filter.condition(db, first),
    }
}
