//! What clients do to many jobs at once: a job of its own, whose items are the jobs that match.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    spec::{BatchSpec, JobSpec, Work},
    state::JobState,
};
use crate::{
    error::Error,
    events::caller::Caller,
    values::{
        ids::{PartitionId, PipeName},
        limits,
        text::clean,
    },
};

/// What the names of Headway's own pipes and splitters begin with; clients cannot use them.
pub const RESERVED: &str = "headway.";
/// The pipe, and the splitter, of jobs over jobs.
pub const JOBS: &str = "headway.jobs";
/// The label that says what a job does to others.
pub const LABEL: &str = "headway.bulk";
/// The header of an item that says what is done to its job.
pub const ACTION_HEADER: &str = "action";
/// The header of an item that says who asked.
pub const USER_HEADER: &str = "user";
/// The header of an item that says what the caller called the request.
pub const CORRELATION_HEADER: &str = "correlation";

/// Jobs that are changed at once, over all processes.
const MAX_JOBS_IN_FLIGHT: u32 = 1000;

/// What is done to each job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// PauseJob
    Pause,
    /// ResumeJob
    Resume,
    /// CancelJob
    Cancel,
    /// RetryJob
    Retry,
    /// DeleteJob
    Delete,
}

impl BulkAction {
    /// The states in which a job is touched; empty for any.
    pub fn states(self) -> Vec<JobState> {
        match self {
            Self::Pause => vec![JobState::Waiting, JobState::Active],
            Self::Resume => vec![JobState::Paused],
            Self::Cancel => vec![JobState::Waiting, JobState::Active, JobState::Paused],
            Self::Retry => vec![JobState::Failed, JobState::Cancelled],
            Self::Delete => Vec::new(),
        }
    }
}

impl fmt::Display for BulkAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Delete => "delete",
        })
    }
}

impl FromStr for BulkAction {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [
            Self::Pause,
            Self::Resume,
            Self::Cancel,
            Self::Retry,
            Self::Delete,
        ]
        .into_iter()
        .find(|action| action.to_string() == text)
        .ok_or(())
    }
}

/// Which jobs are meant, as the splitter of [`JOBS`] reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkDefinition {
    /// Their partition: that of the job itself.
    pub partition: PartitionId,
    /// What is done to them.
    pub action: BulkAction,
    /// See [`crate::filter`].
    pub filter: String,
    /// Only jobs whose keys are below it: those that existed when it was asked for.
    pub below: i64,
}

impl BulkDefinition {
    /// The spec of the job that does it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a filter that is too long for a definition, which none is that was read.
    pub fn spec(&self, definition: Vec<u8>, caller: &Caller) -> Result<JobSpec, Error> {
        let action = self.action;
        let headers = [
            (ACTION_HEADER, action.to_string()),
            (USER_HEADER, caller.user.clone()),
            (CORRELATION_HEADER, caller.correlation.clone()),
        ];
        let mut spec = JobSpec::new(Work::Batch(BatchSpec {
            splitter: JOBS.to_owned(),
            definition,
            parameters: serde_json::Value::Null,
            pipe: PipeName::new(JOBS)?,
            task_type: action.to_string(),
            payload: None,
            headers: headers
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        }));
        spec.display_name = match self.filter.is_empty() {
            true => format!("{action} all jobs"),
            false => clean(
                &format!("{action} jobs: {}", self.filter),
                limits::MAX_SHORT_TEXT_BYTES,
            ),
        };
        spec.labels = BTreeMap::from([(LABEL.to_owned(), action.to_string())]);
        spec.max_in_flight = MAX_JOBS_IN_FLIGHT;
        spec.validate()?;
        Ok(spec)
    }
}

impl JobSpec {
    /// Whether the job is about other jobs: such a one is held to neither quotas nor suspensions, or nobody could make room.
    pub fn is_bulk(&self) -> bool {
        self.pipe().as_str() == JOBS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_named_and_read() {
        for action in ["pause", "resume", "cancel", "retry", "delete"] {
            let read: BulkAction = action.parse().unwrap();
            assert_eq!(read.to_string(), action);
        }
        assert!("explode".parse::<BulkAction>().is_err());
    }

    #[test]
    fn a_long_filter_is_cut_where_people_read_it() {
        let definition = BulkDefinition {
            partition: PartitionId::new("p").unwrap(),
            action: BulkAction::Cancel,
            filter: "x".repeat(4000),
            below: 1,
        };
        let spec = definition.spec(Vec::new(), &Caller::default()).unwrap();
        assert_eq!(spec.display_name.len(), 256);
        assert_eq!(spec.labels["headway.bulk"], "cancel");
        assert!(spec.is_bulk());
    }
}
