//! Bulk jobs: a client changes many jobs through a job whose items are the matching jobs.

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

/// The prefix of Headway's own pipes and splitters. Clients cannot use such names.
pub const RESERVED: &str = "headway.";
/// The pipe and the splitter of bulk jobs.
pub const JOBS: &str = "headway.jobs";
/// The label that names the action of a bulk job.
pub const LABEL: &str = "headway.bulk";
/// The header of an item that names the action.
pub const ACTION_HEADER: &str = "action";
/// The header of an item that names the caller.
pub const USER_HEADER: &str = "user";
/// The header of an item with the caller's correlation id.
pub const CORRELATION_HEADER: &str = "correlation";

/// Jobs that a bulk job changes at once, over all processes.
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
    /// The states of the jobs that the action applies to; empty for any.
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

/// Which jobs a bulk job changes. The splitter [`JOBS`] reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkDefinition {
    /// Their partition: that of the job itself.
    pub partition: PartitionId,
    /// What is done to them.
    pub action: BulkAction,
    /// See [`crate::filter`].
    pub filter: String,
    /// Only jobs with smaller keys: those that existed at the time of the request.
    pub below: i64,
}

impl BulkDefinition {
    /// The spec of the job that does it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a filter that is too long. A filter that was parsed never is.
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
    /// Whether this is a bulk job. Quotas and suspensions do not hold for it, because it may be
    /// needed to make room.
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
