//! How jobs ended, as far as those that wait for them care.

use std::{collections::BTreeMap, sync::Arc};

use headway_domain::{
    JobId,
    jobs::Phase,
    prerequisites::{BrokenPrerequisite, FirstFailure},
};
use sea_orm::FromQueryResult;

use crate::{
    db::{Db, Tx, keys},
    error::StoreError,
    ground::codes::Code,
};

/// Why a job failed.
#[derive(Debug, FromQueryResult)]
pub(crate) struct FailureCause {
    pub(crate) job_key: i64,
    code: String,
    message: String,
    details: String,
}

impl FailureCause {
    /// The failure, as the rules read it.
    pub(crate) fn failure(&self) -> FirstFailure<'_> {
        FirstFailure {
            code: &self.code,
            message: &self.message,
            details: &self.details,
        }
    }

    /// Whether the job failed because of another that it needed.
    pub(crate) fn is_prerequisite(&self) -> bool {
        self.failure().is_prerequisite()
    }
}

/// How far a job is, as far as those that wait for it care.
#[derive(Debug, Clone, Copy, FromQueryResult)]
pub(crate) struct PhaseRow {
    pub job_key: i64,
    pub phase: i64,
    pub run: i64,
}

impl PhaseRow {
    /// The run that failed, by job, if one did.
    pub(crate) fn failed(&self) -> Option<(i64, u32)> {
        let run = u32::try_from(self.run).unwrap_or(0);
        (self.phase == Phase::Failed.code()).then_some((self.job_key, run))
    }
}

impl Db {
    /// The first failures of runs, by job.
    pub(crate) async fn causes(
        &self,
        tx: &Tx<'_>,
        runs: impl IntoIterator<Item = (i64, u32)>,
    ) -> Result<BTreeMap<i64, FailureCause>, StoreError> {
        let runs: Vec<_> = runs.into_iter().collect();
        if runs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let sql = format!(
            "SELECT f.job_key, f.code, f.message, f.details FROM {} JOIN failure f ON f.job_key = k.a AND f.run = k.b \
             AND f.seq = (SELECT seq FROM failure WHERE job_key = k.a AND run = k.b ORDER BY seq LIMIT 1)",
            self.pairs("k", 1)
        );
        let runs = runs.into_iter().map(|(key, run)| (key, i64::from(run)));
        let causes: Vec<FailureCause> = self.all(&**tx, sql, [keys::pairs(runs)]).await?;
        Ok(causes
            .into_iter()
            .map(|cause| (cause.job_key, cause))
            .collect())
    }

    /// Locks jobs in the order of their keys and reads how far they are; those that are gone are
    /// left out.
    pub(crate) async fn lock_phases(
        &self,
        tx: &Tx<'_>,
        list: impl IntoIterator<Item = i64>,
    ) -> Result<Vec<PhaseRow>, StoreError> {
        let sql = format!(
            "SELECT job_key, phase, run FROM job_progress WHERE {} ORDER BY job_key{}",
            self.is_in("job_key", 1),
            self.for_update()
        );
        self.all(&**tx, sql, [keys::ints(list)]).await
    }
}

/// How a job ended: not at all, complete, or broken.
pub(crate) fn end_of(
    row: &PhaseRow,
    job: &JobId,
    cause: Option<&FailureCause>,
) -> Result<Option<Option<Arc<BrokenPrerequisite>>>, StoreError> {
    let ended = Phase::of(row.phase)?;
    Ok(match ended {
        Phase::Waiting | Phase::Active => None,
        Phase::Completed => Some(None),
        Phase::Failed | Phase::Cancelled => Some(Some(Arc::new(BrokenPrerequisite::new(
            job,
            ended,
            cause.map(FailureCause::failure),
        )))),
    })
}
