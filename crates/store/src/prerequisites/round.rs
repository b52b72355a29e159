//! What one transaction does for jobs that wait.

use std::{collections::BTreeSet, sync::Arc};

use headway_domain::prerequisites::{BrokenPrerequisite, OnPrerequisiteFailure};
use sea_orm::FromQueryResult;

use crate::ground::codes::Code;

/// Prerequisites settled by one transaction, about.
pub(crate) const MAX_SETTLED_PER_TX: usize = 500;

/// A prerequisite of a job that waits.
#[derive(Debug, Clone, FromQueryResult)]
pub(crate) struct WaitingRow {
    pub job_key: i64,
    pub number: i64,
    pub policy: i64,
}

/// What one transaction does.
#[derive(Default)]
pub(crate) struct ReleaseRound {
    pub(crate) met: Vec<(i64, i64)>,
    pub(crate) broken: Vec<(i64, i64, Arc<BrokenPrerequisite>)>,
    /// Jobs that failed and wait again, if they failed because of others.
    pub(crate) again: BTreeSet<i64>,
    /// When it was asked for that they do.
    pub(crate) again_since: i64,
    pub(crate) finished: Vec<i64>,
    /// Tasks that continue above a key.
    pub(crate) resumed: Vec<(i64, i64)>,
}

impl ReleaseRound {
    pub(crate) fn len(&self) -> usize {
        self.met.len() + self.broken.len() + self.again.len()
    }

    pub(crate) fn settle(
        &mut self,
        waiting: &WaitingRow,
        broken: Option<&Arc<BrokenPrerequisite>>,
    ) {
        let at = (waiting.job_key, waiting.number);
        match broken {
            Some(broken) if waiting.policy == OnPrerequisiteFailure::Fail.code() => {
                self.broken.push((at.0, at.1, broken.clone()));
            }
            Some(_) if waiting.policy == OnPrerequisiteFailure::Wait.code() => {}
            Some(_) | None => self.met.push(at),
        }
    }

    /// Marks a task as done, or where it goes on.
    pub(crate) fn note(&mut self, task: i64, next: Option<i64>) {
        match next {
            None => self.finished.push(task),
            Some(after) => self.resumed.push((task, after)),
        }
    }
}
