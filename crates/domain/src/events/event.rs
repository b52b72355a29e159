//! Events for the audit log, about jobs and about other things that callers change.

use std::fmt;

use crate::jobs::state::JobState;

/// What happened to a job, or to the thing that the event names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// It was accepted.
    Created,
    /// Its first work was released.
    Started,
    /// A client paused it.
    Paused,
    /// A client resumed it.
    Resumed,
    /// A client cancelled it.
    Cancelled,
    /// A client retried it.
    Retried,
    /// All children of a batch, or of all batches of a large job, are known.
    BatchSplit,
    /// A client changed some of its spec.
    Updated,
    /// Items failed or batches could not be split.
    FailureRecorded,
    /// It ended within its failure policy.
    Completed,
    /// It ended outside its failure policy.
    Failed,
    /// Its last item came back, some time after its end.
    Settled,
    /// It was deleted.
    Deleted,
    /// A schedule was created.
    ScheduleCreated,
    /// A schedule was changed.
    ScheduleUpdated,
    /// A schedule was paused.
    SchedulePaused,
    /// A schedule was resumed.
    ScheduleResumed,
    /// A schedule was removed.
    ScheduleDeleted,
    /// Settings of a partition were changed.
    PartitionUpdated,
    /// A partition was suspended.
    PartitionSuspended,
    /// A suspended partition was resumed.
    PartitionResumed,
    /// Dead letters of a partition were dropped.
    DeadLettersDropped,
    /// The limits of a pipe were set.
    PipeLimitsUpdated,
    /// A job type was added.
    JobTypeCreated,
    /// A job type was changed.
    JobTypeUpdated,
    /// A job type was removed.
    JobTypeDeleted,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::Created,
        Self::Started,
        Self::Paused,
        Self::Resumed,
        Self::Cancelled,
        Self::Retried,
        Self::BatchSplit,
        Self::Updated,
        Self::FailureRecorded,
        Self::Completed,
        Self::Failed,
        Self::Settled,
        Self::Deleted,
        Self::ScheduleCreated,
        Self::ScheduleUpdated,
        Self::SchedulePaused,
        Self::ScheduleResumed,
        Self::ScheduleDeleted,
        Self::PartitionUpdated,
        Self::PartitionSuspended,
        Self::PartitionResumed,
        Self::DeadLettersDropped,
        Self::PipeLimitsUpdated,
        Self::JobTypeCreated,
        Self::JobTypeUpdated,
        Self::JobTypeDeleted,
    ];
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "JOB_CREATED",
            Self::Started => "JOB_STARTED",
            Self::Paused => "JOB_PAUSED",
            Self::Resumed => "JOB_RESUMED",
            Self::Cancelled => "JOB_CANCELLED",
            Self::Retried => "JOB_RETRIED",
            Self::BatchSplit => "JOB_BATCH_SPLIT",
            Self::Updated => "JOB_UPDATED",
            Self::FailureRecorded => "JOB_FAILURE_RECORDED",
            Self::Completed => "JOB_COMPLETED",
            Self::Failed => "JOB_FAILED",
            Self::Settled => "JOB_SETTLED",
            Self::Deleted => "JOB_DELETED",
            Self::ScheduleCreated => "SCHEDULE_CREATED",
            Self::ScheduleUpdated => "SCHEDULE_UPDATED",
            Self::SchedulePaused => "SCHEDULE_PAUSED",
            Self::ScheduleResumed => "SCHEDULE_RESUMED",
            Self::ScheduleDeleted => "SCHEDULE_DELETED",
            Self::PartitionUpdated => "PARTITION_UPDATED",
            Self::PartitionSuspended => "PARTITION_SUSPENDED",
            Self::PartitionResumed => "PARTITION_RESUMED",
            Self::DeadLettersDropped => "DEAD_LETTERS_DROPPED",
            Self::PipeLimitsUpdated => "PIPE_LIMITS_UPDATED",
            Self::JobTypeCreated => "JOB_TYPE_CREATED",
            Self::JobTypeUpdated => "JOB_TYPE_UPDATED",
            Self::JobTypeDeleted => "JOB_TYPE_DELETED",
        })
    }
}

/// An event to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// What happened.
    pub kind: EventKind,
    /// The job's state afterwards.
    pub state: JobState,
    /// More for people; at most [`crate::limits::MAX_HEADER_BYTES`].
    pub message: String,
    /// The batch it is about; none if it is about all of them.
    pub batch: Option<u32>,
    /// How many items or failures it is about.
    pub items: u64,
}
