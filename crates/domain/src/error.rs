//! Everything that can be wrong with what a client asks for. One enum; the server turns it
//! into a status with details in one place.

use std::fmt;

use crate::{
    ids::{JobName, PartitionId},
    job::JobState,
};

/// A field of a request and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// The path of the field in the request, as in `spec.task.pipe`.
    pub field: String,
    /// A clause that follows "the field": what it must be.
    pub description: String,
}

/// A control action on a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// PauseJob
    Pause,
    /// ResumeJob
    Resume,
    /// CancelJob
    Cancel,
    /// RetryJob
    Retry,
    /// RetryJob, with the jobs that failed because this one had
    RetryWithDependents,
}

impl Action {
    /// The verb, in the present tense.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Retry | Self::RetryWithDependents => "retry",
        }
    }
}

/// What a partition may have only so many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Jobs that have not ended.
    OpenJobs,
    /// Items in pipes and at workers.
    InFlight,
}

impl Quota {
    /// Its field in the partition.
    pub fn field(self) -> &'static str {
        match self {
            Self::OpenJobs => "max_open_jobs",
            Self::InFlight => "max_items_in_flight",
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenJobs => "jobs that have not ended",
            Self::InFlight => "items in pipes and at workers",
        })
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Fields of the request are wrong.
    #[error("{}", violations_sentence(.0))]
    Invalid(Vec<FieldViolation>),
    /// There is no such job.
    #[error("there is no job {0}; list the partition's jobs to see what exists")]
    JobNotFound(JobName),
    /// The job has no such batch, or does not keep it.
    #[error(
        "job {job} has no batch {number}; finished batches are kept on the first two levels only"
    )]
    BatchNotFound {
        /// The job.
        job: JobName,
        /// The batch.
        number: u32,
    },
    /// The id is taken by a job with another spec.
    #[error("job {0} exists with another spec; choose another id or delete it first")]
    JobExists(JobName),
    /// The request id was used for a job with another spec.
    #[error("this request id has created job {0} with another spec; use a new request id")]
    RequestIdReused(JobName),
    /// The action is not possible in the job's state.
    #[error("cannot {} job {job}: it is {state}{}", .action.verb(), hint(.action, .state, .settled))]
    IllegalTransition {
        /// The job.
        job: JobName,
        /// What was asked for.
        action: Action,
        /// The state that forbids it.
        state: JobState,
        /// Whether the job is settled.
        settled: bool,
    },
    /// None of the job's failures is like those that were asked for.
    #[error(
        "no failure of job {0} matches the filter, and the job has nothing else to run; list its failures to see what exists"
    )]
    NothingToRetry(JobName),
    /// There is no such job type.
    #[error("there is no job type {0}; list the job types to see what exists")]
    JobTypeNotFound(String),
    /// The id is taken by another job type.
    #[error("job type {0} exists; choose another id, or update it")]
    JobTypeExists(String),
    /// The job type was changed meanwhile.
    #[error(
        "job type {name} was changed meanwhile and has version {version} now; read it again and repeat your change"
    )]
    JobTypeChanged {
        /// The type.
        name: String,
        /// Its version now.
        version: String,
    },
    /// The job type comes from a file.
    #[error("job type {0} comes from a file of the server; change the file")]
    JobTypeFixed(String),
    /// The job type cannot be used.
    #[error("job type {name} cannot be used: {why}")]
    JobTypeUnusable {
        /// The type.
        name: String,
        /// Why, as a clause.
        why: String,
    },
    /// There is no such schedule.
    #[error("there is no schedule {0}; list the partition's schedules to see what exists")]
    ScheduleNotFound(String),
    /// The id is taken by another schedule.
    #[error("schedule {0} exists; choose another id, or update it")]
    ScheduleExists(String),
    /// The job would wait for itself.
    #[error("job {job} would wait for itself: {}; leave out one of these prerequisites", .cycle.join(" needs "))]
    Cycle {
        /// The job that is refused.
        job: JobName,
        /// Ids of jobs, each of which needs the next; the first is the last. Long cycles are cut in the middle.
        cycle: Vec<String>,
    },
    /// The partition has all that it may have.
    #[error(
        "partition {partition} has reached its quota of {limit} {quota}; try again when some have ended, or raise the quota"
    )]
    QuotaExceeded {
        /// The partition.
        partition: PartitionId,
        /// Which quota.
        quota: Quota,
        /// How many it may have.
        limit: u32,
    },
    /// The deployment has all the pipes that it may have.
    #[error(
        "pipe {pipe} is new, and the deployment already has its maximum of {limit} pipes; use an existing pipe, or raise max_pipes"
    )]
    TooManyPipes {
        /// The pipe.
        pipe: String,
        /// How many there may be.
        limit: u32,
    },
    /// A page token is malformed, belongs to another query or is too old.
    #[error(
        "page_token is not valid for this request or is older than 24 hours; start again without it"
    )]
    PageToken,
}

impl Error {
    /// One wrong field.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldViolation {
            field: field.into(),
            description: description.into(),
        }])
    }

    /// Puts a path before the fields of an `Invalid`, as in `spec.task` before `pipe`.
    pub fn within(self, path: &str) -> Self {
        match self {
            Self::Invalid(list) => Self::Invalid(
                list.into_iter()
                    .map(|v| FieldViolation {
                        field: if v.field.is_empty() {
                            path.to_owned()
                        } else {
                            format!("{path}.{}", v.field)
                        },
                        description: v.description,
                    })
                    .collect(),
            ),
            other => other,
        }
    }

    /// Renames the single field of an `Invalid`, where an id stands under another name.
    pub fn renamed(self, field: &str) -> Self {
        match self {
            Self::Invalid(list) => Self::Invalid(
                list.into_iter()
                    .map(|v| FieldViolation {
                        field: field.to_owned(),
                        ..v
                    })
                    .collect(),
            ),
            other => other,
        }
    }
}

fn violations_sentence(list: &[FieldViolation]) -> String {
    list.iter()
        .map(|v| format!("{} {}", v.field, v.description))
        .collect::<Vec<_>>()
        .join("; ")
}

fn hint(action: &Action, state: &JobState, settled: &bool) -> &'static str {
    match (action, state) {
        (Action::Retry | Action::RetryWithDependents, JobState::Cancelled | JobState::Failed)
            if !settled =>
        {
            ", and some of its items are still at workers; try again once settled_time is set"
        }
        (Action::Retry | Action::RetryWithDependents, JobState::Completed) => {
            " and has nothing to run again"
        }
        (Action::Retry | Action::RetryWithDependents, _) => {
            ", and only a job that failed or was cancelled can be retried as a whole; a filter says which failures run again while the job goes on"
        }
        (Action::Resume, _) => ", and only a paused job can be resumed; retry it to run it again",
        (Action::Pause | Action::Cancel, _) => ", which is final",
    }
}
