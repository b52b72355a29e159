//! Events for the audit log: of a job's life, and of what callers change besides jobs.

use std::fmt;

use crate::{
    effect::{clean, code},
    job::{JobState, Phase},
    limits,
    slice::JobSlice,
};

/// Failures of a run whose commits have an event each. Later ones have one whenever their number has doubled, so that
/// the log does not grow with the job.
const SINGLE_FAILURES: u64 = 100;
/// Batches of a job, by number, that have an event each. A job of more has one for all of them in the end.
const SINGLE_BATCHES: u32 = 16;

/// What happened, to a job or to what is named in the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// It was accepted.
    Created,
    /// The first work of it was released.
    Started,
    /// A client held it.
    Paused,
    /// A client let it go on.
    Resumed,
    /// A client ended it.
    Cancelled,
    /// A client lets it run again.
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
    /// Nothing of it runs any more, some time after it ended.
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
            Self::Created => "CREATED",
            Self::Started => "STARTED",
            Self::Paused => "PAUSED",
            Self::Resumed => "RESUMED",
            Self::Cancelled => "CANCELLED",
            Self::Retried => "RETRIED",
            Self::BatchSplit => "BATCH_SPLIT",
            Self::Updated => "UPDATED",
            Self::FailureRecorded => "FAILURE_RECORDED",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Settled => "SETTLED",
            Self::Deleted => "DELETED",
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
    /// What the other fields do not say, for people; at most [`limits::HEADER_BYTES`].
    pub message: String,
    /// The batch it is about; none if it is about all of them.
    pub batch: Option<u32>,
    /// How many items or failures it is about.
    pub items: u64,
}

/// Who asks for a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// Who it says it is; at most [`limits::ID_BYTES`], empty when it says nothing.
    pub user: String,
    /// What it calls its request; at most [`limits::ID_BYTES`].
    pub correlation: String,
}

/// Names that no caller may take: Headway records what it does by itself under them.
const OWN_NAMES: [&str; 2] = ["headway", "system"];

/// Whether a name is one of Headway's own, also with something behind it, as in `headway.janitor`.
pub fn is_reserved(user: &str) -> bool {
    let user = user.trim().to_ascii_lowercase();
    let mut rests = OWN_NAMES.iter().filter_map(|own| user.strip_prefix(own));
    rests.any(|rest| rest.is_empty() || rest.starts_with(['.', ':', '/']))
}

impl JobSlice {
    /// Records an event about the job as it is now.
    pub(crate) fn record(&mut self, kind: EventKind, items: u64, message: &str) {
        self.events.push(NewEvent {
            kind,
            state: self.job.state(),
            message: clean(message, limits::HEADER_BYTES),
            batch: None,
            items,
        });
    }

    /// Records that all children of a batch are known: of the first ones, and of all together.
    pub(crate) fn record_split_batch(&mut self, number: u32) {
        if number <= SINGLE_BATCHES {
            let items = self.batch(number).map_or(0, |batch| batch.items);
            self.push_split(Some(number), items, "");
        }
        let batches = self.job.next_batch - 1;
        let counts = &self.job.counts;
        if batches > SINGLE_BATCHES && counts.unsplit + counts.splitting == 0 {
            let known = counts.known;
            self.push_split(None, known, &format!("all {batches} batches are split"));
        }
    }

    fn push_split(&mut self, batch: Option<u32>, items: u64, message: &str) {
        self.events.push(NewEvent {
            kind: EventKind::BatchSplit,
            state: self.job.state(),
            message: message.to_owned(),
            batch,
            items,
        });
    }

    /// Records the failures of this transaction, once.
    pub(crate) fn record_failures(&mut self) {
        let known = self.events.iter();
        let known = known.filter(|event| event.kind == EventKind::FailureRecorded);
        let Some(first) = self.failures.first().filter(|_| known.count() == 0) else {
            return;
        };
        let now = self.failures.len() as u64;
        let all = self.job.counts.failures;
        let before = all.saturating_sub(now);
        let doublings = |failures: u64| (failures / SINGLE_FAILURES).checked_ilog2();
        if before >= SINGLE_FAILURES && doublings(before) == doublings(all) {
            return;
        }
        let message = format!("{}: {}", first.failure.code, first.failure.message);
        self.record(EventKind::FailureRecorded, now, &message);
    }

    /// Records how the job ended.
    pub(crate) fn record_end(&mut self, why: Option<&str>) {
        let counts = &self.job.counts;
        let (done, failed, unsplit) = (counts.done, counts.failed, counts.split_failed);
        let (kind, message) = match self.job.phase {
            Phase::Cancelled => (EventKind::Cancelled, String::new()),
            Phase::Completed => (EventKind::Completed, String::new()),
            Phase::Failed if why.is_some() => {
                (EventKind::Failed, why.unwrap_or_default().to_owned())
            }
            Phase::Failed if unsplit > 0 => {
                let text = format!(
                    "{failed} items failed, {unsplit} batches could not be split ({})",
                    code::SPLIT_FAILED
                );
                (EventKind::Failed, text)
            }
            Phase::Failed => (EventKind::Failed, format!("{failed} items failed")),
            Phase::Waiting | Phase::Active => return,
        };
        self.record(kind, done, &message);
    }

    /// Whether the job ended in this transaction.
    pub fn ended_now(&self) -> bool {
        self.events.iter().any(|event| {
            matches!(
                event.kind,
                EventKind::Completed | EventKind::Failed | EventKind::Cancelled
            )
        })
    }
}
