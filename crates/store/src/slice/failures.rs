//! Changing failures that are on record.

use headway_domain::Job;
use sea_orm::Value;

use crate::{
    db::{Db, Tx, keys},
    error::StoreError,
    slice::rows::failure::WHOLE_PAGE,
};

impl Db {
    /// Deletes failures of a job's present run, by their numbers.
    pub(crate) async fn delete_failures(
        &self,
        tx: &Tx<'_>,
        job: &Job,
        numbers: impl IntoIterator<Item = i64>,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "DELETE FROM failure WHERE job_key = $1 AND run = $2 AND {}",
            self.is_in("seq", 3)
        );
        let values = [
            job.meta.key.into(),
            i64::from(job.run).into(),
            keys::ints(numbers),
        ];
        self.run(&**tx, sql, values).await?;
        Ok(())
    }

    /// Repeats the failures of items and pages that a condition does not match under the next run,
    /// numbered from 1. The values of the condition are bound from `$3` on.
    pub(crate) async fn repeat_failures(
        &self,
        tx: &Tx<'_>,
        job: &Job,
        matching: &str,
        values: Vec<Value>,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO failure (job_key, run, seq, page, idx, code, message, details, attempt, recorded, worker) \
             SELECT f.job_key, f.run + 1, ROW_NUMBER() OVER (ORDER BY f.seq), f.page, f.idx, f.code, f.message, f.details, \
             f.attempt, f.recorded, f.worker FROM failure f \
             WHERE f.job_key = $1 AND f.run = $2 AND f.idx >= {WHOLE_PAGE} AND NOT ({matching})"
        );
        let of_run = [Value::from(job.meta.key), Value::from(i64::from(job.run))];
        let values: Vec<Value> = of_run.into_iter().chain(values).collect();
        self.run(&**tx, sql, values).await?;
        Ok(())
    }

    /// Gives some of the failures of a source the code bound as `$2`, and takes their details away;
    /// how many. `$1` is how many at most.
    pub(crate) async fn recode_failures(
        &self,
        tx: &Tx<'_>,
        source: &str,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        let sql = format!(
            "UPDATE failure SET code = $2, details = '' WHERE (job_key, run, seq) IN ( \
               SELECT f.job_key, f.run, f.seq FROM {source} LIMIT $1)"
        );
        self.run(&**tx, sql, values).await
    }
}
