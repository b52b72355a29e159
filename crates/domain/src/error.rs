//! The errors of requests: one enum. The server turns it into a status with details in one place.

use crate::{
    jobs::state::JobState,
    partitions::quota::Quota,
    values::ids::{JobName, PartitionId},
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
}

impl Action {
    /// The verb, in the present tense.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
        }
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
    /// The job has no such batch, or does not retain it.
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
    /// No failure of the job matches the filter.
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
    /// The resource was changed since the caller read it.
    #[error(
        "{0} was changed since you read it; read it again and repeat the change with its new etag"
    )]
    EtagMismatch(String),
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
    /// This version cannot read what is stored of the schedule.
    #[error(
        "this version of Headway cannot read schedule {schedule} ({why}); update it with a mask of all its fields, delete it, or run the version that wrote it"
    )]
    ScheduleUnreadable {
        /// The schedule.
        schedule: String,
        /// Why, as a clause.
        why: String,
    },
    /// The job would wait for itself.
    #[error("job {job} would wait for itself: {}; leave out one of these prerequisites", .cycle.join(" needs "))]
    Cycle {
        /// The job that is refused.
        job: JobName,
        /// Ids of jobs, each of which needs the next; the last is the first. Long cycles are cut in
        /// the middle.
        cycle: Vec<String>,
    },
    /// The partition has reached a quota.
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
    /// The deployment has reached its number of pipes.
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
        let Self::Invalid(list) = self else {
            return self;
        };
        let within = list.into_iter().map(|v| FieldViolation {
            field: if v.field.is_empty() {
                path.to_owned()
            } else {
                format!("{path}.{}", v.field)
            },
            description: v.description,
        });
        Self::Invalid(within.collect())
    }

    /// Renames the single field of an `Invalid`, where an id stands under another name.
    pub fn renamed(self, field: &str) -> Self {
        let Self::Invalid(list) = self else {
            return self;
        };
        let renamed = list.into_iter().map(|v| FieldViolation {
            field: field.to_owned(),
            ..v
        });
        Self::Invalid(renamed.collect())
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
        (Action::Retry, JobState::Cancelled | JobState::Failed) if !settled => {
            ", and some of its items are still at workers; try again once settled_time is set"
        }
        (Action::Retry, JobState::Completed) => " and has nothing to run again",
        (Action::Retry, _) => {
            ", and only a job that failed or was cancelled can be retried as a whole; a filter says which failures run again while the job goes on"
        }
        (Action::Resume, _) => ", and only a paused job can be resumed; retry it to run it again",
        (Action::Pause | Action::Cancel, _) => ", which is final",
    }
}
