//! Reading failures. Reads take no lock.

use headway_domain::{Error, Job, JobName};
use sea_orm::Value;

use crate::{
    db::Db, error::StoreError, retries::filter::FailureFilter, slice::rows::failure::FailureRow,
    store::Store,
};

/// Failures shown with a job at most.
pub(crate) const MAX_FAILURES_SHOWN: i64 = 10;

/// Some failures and where the next ones begin.
#[derive(Debug, Clone)]
pub struct FailurePage {
    /// Oldest first.
    pub failures: Vec<FailureRow>,
    /// The run they are of.
    pub run: u32,
    /// The number to continue above, if there may be more.
    pub next: Option<i64>,
}

impl Store {
    pub(crate) async fn failure_sample(&self, job: &Job) -> Result<Vec<FailureRow>, StoreError> {
        if job.counts.standing_failures() == 0 {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT {} FROM failure f WHERE f.job_key = $1 AND f.run = $2 ORDER BY f.seq DESC LIMIT $3",
            FailureRow::COLUMNS
        );
        let values = [
            job.meta.key.into(),
            i64::from(job.run).into(),
            MAX_FAILURES_SHOWN.into(),
        ];
        self.db.all(self.db.work_reader(), sql, values).await
    }

    /// Lists the failures of a job's present run that match, oldest first, above the last number
    /// seen. A number of an earlier run is a bad page token.
    pub async fn list_failures(
        &self,
        name: &JobName,
        filter: &FailureFilter,
        above: Option<(u32, i64)>,
        size: u32,
    ) -> Result<FailurePage, StoreError> {
        let meta = self.named(name).await?;
        let job = self
            .read_job(&meta)
            .await?
            .ok_or_else(|| Error::JobNotFound(name.clone()))?;
        if above.is_some_and(|(run, _)| run != job.run) {
            return Err(Error::PageToken.into());
        }
        let (matching, more) = listed(filter, &self.db, 5);
        let sql = format!(
            "SELECT {} FROM failure f WHERE f.job_key = $1 AND f.run = $2 AND f.seq > $3 AND {matching} ORDER BY f.seq LIMIT $4",
            FailureRow::COLUMNS
        );
        let values = [
            meta.key.into(),
            i64::from(job.run).into(),
            above.map_or(0, |(_, seq)| seq).into(),
            (i64::from(size) + 1).into(),
        ];
        let values: Vec<Value> = values.into_iter().chain(more).collect();
        let mut failures: Vec<FailureRow> = self.db.all(self.db.reader(), sql, values).await?;
        let more = failures.len() > size as usize;
        failures.truncate(size as usize);
        let next = failures.last().filter(|_| more).map(|failure| failure.seq);
        Ok(FailurePage {
            failures,
            run: job.run,
            next,
        })
    }
}

/// The failures of a job's present run that a list shows, as a condition on `f` with what is bound
/// from $`first` on.
pub(super) fn listed(filter: &FailureFilter, db: &Db, first: usize) -> (String, Vec<Value>) {
    match filter.is_everything() {
        true => ("TRUE".to_owned(), Vec::new()),
        false => filter.condition(db, first),
    }
}
