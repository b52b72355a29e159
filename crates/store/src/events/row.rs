//! Rows of the audit log.

use headway_domain::{
    Job, JobId, JobName, JobState, JobUid, Micros, PartitionId,
    events::{Caller, EventKind, NewEvent},
};

use crate::{
    db::{
        bulk::Cell,
        table::{row, table},
    },
    error::StoreError,
    events::position::Position,
    ground::{
        codes::{Code, codes},
        numbers::{optional, unsigned},
    },
};

/// An event of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// Its place.
    pub position: Position,
    /// The job; the nil one where the event is about something else.
    pub uid: JobUid,
    /// The job's name; none where the event is about something else.
    pub name: Option<JobName>,
    /// The name of what it is about where that is no job, such as `partitions/p/schedules/s`.
    pub subject: String,
    /// What happened.
    pub kind: EventKind,
    /// The job's state afterwards; none where the event is about something else.
    pub state: Option<JobState>,
    /// The job's revision afterwards.
    pub revision: i64,
    /// The run.
    pub run: u32,
    /// Who did it; empty where Headway acted by itself.
    pub actor: String,
    /// What the caller calls its request.
    pub correlation: String,
    /// What the other fields do not say.
    pub message: String,
    /// The batch it is about.
    pub batch: Option<u32>,
    /// How many items or failures it is about.
    pub items: u64,
    /// When, in microseconds.
    pub recorded: Micros,
}

impl RawEvent {
    /// The event, if there is one.
    pub(crate) fn read(self) -> Result<Option<EventRow>, StoreError> {
        let Some(seq) = self.seq else {
            return Ok(None);
        };
        let broken = |what: &str| StoreError::Broken(format!("event {seq}: {what}"));
        let number = |value: Option<i64>| value.ok_or_else(|| broken("a column is empty"));
        let text = |value: Option<String>| value.ok_or_else(|| broken("a column is empty"));
        let change = number(self.change)?;
        let is_job = change == 0;
        let kind = if is_job { number(self.kind)? } else { change };
        let state = number(self.state)?;
        let uid = self.uid.as_deref().and_then(JobUid::from_slice);
        Ok(Some(EventRow {
            position: Position {
                tx: number(self.tx)?,
                seq,
            },
            uid: uid.ok_or_else(|| broken("uid"))?,
            name: match is_job {
                true => Some(JobName {
                    partition: PartitionId::new(text(self.partition_id)?)?,
                    job: JobId::new(text(self.job_id)?)?,
                }),
                false => None,
            },
            subject: text(self.subject)?,
            kind: EventKind::of(kind).map_err(|_| broken("its kind is unknown"))?,
            state: match is_job {
                true => Some(JobState::of(state)?),
                false => None,
            },
            revision: number(self.revision)?,
            run: unsigned(number(self.run)?)?,
            actor: text(self.actor)?,
            correlation: text(self.correlation)?,
            message: text(self.message)?,
            batch: optional(number(self.batch)?).map(unsigned).transpose()?,
            items: unsigned(number(self.items)?)?,
            recorded: number(self.recorded)?,
        }))
    }
}

row! {
    /// A row of `event`; all columns are empty where there is none.
    pub(crate) struct RawEvent as "e" {
        seq: Option<i64>,
        tx: Option<i64>,
        uid: Option<Vec<u8>>,
        partition_id: Option<String>,
        job_id: Option<String>,
        kind: Option<i64>,
        state: Option<i64>,
        revision: Option<i64>,
        run: Option<i64>,
        actor: Option<String>,
        correlation: Option<String>,
        message: Option<String>,
        batch: Option<i64>,
        items: Option<i64>,
        recorded: Option<i64>,
        change: Option<i64>,
        subject: Option<String>,
    }
}

/// The columns of [`RawEvent`], with the table as `e`.
pub(crate) const EVENT_COLUMNS: &str = RawEvent::COLUMNS;

// The database gives `seq` and `tx`. Events that are not about jobs have `change` and `subject`:
// see `events::record`.
table! {
    const EVENT = "event";
    fn event_cells(job: &Job, event: &NewEvent, caller: &Caller) {
        let name = &job.meta.name;
        let of_caller = |text: &str| match is_of_caller(event.kind) {
            true => Cell::from(text),
            false => Cell::from(""),
        };
    }
    write uid: Vec<u8> = job.meta.uid.0.as_bytes().to_vec(),
    write partition_id: String = name.partition.as_str(),
    write job_id: String = name.job.as_str(),
    write kind: i64 = event.kind.code(),
    write state: i64 = event.state.code(),
    write revision: i64 = job.revision,
    write run: i64 = job.run,
    write actor: String = of_caller(&caller.user),
    write correlation: String = of_caller(&caller.correlation),
    write message: String = event.message.as_str(),
    write batch: i64 = event.batch.unwrap_or(0),
    write items: i64 = event.items,
    write recorded: i64 = job.updated,
}

codes!(EventKind, "kind {code} of an event is unknown", {
    Created = 1,
    Started = 2,
    Paused = 3,
    Resumed = 4,
    Cancelled = 5,
    Retried = 6,
    BatchSplit = 7,
    FailureRecorded = 8,
    Completed = 9,
    Failed = 10,
    Settled = 11,
    Deleted = 12,
    Updated = 13,
    ScheduleCreated = 14,
    ScheduleUpdated = 15,
    SchedulePaused = 16,
    ScheduleResumed = 17,
    ScheduleDeleted = 18,
    PartitionUpdated = 19,
    PartitionSuspended = 20,
    PartitionResumed = 21,
    DeadLettersDropped = 22,
    PipeLimitsUpdated = 23,
    JobTypeCreated = 24,
    JobTypeUpdated = 25,
    JobTypeDeleted = 26,
});

/// Whether a caller does it, and not Headway by itself.
fn is_of_caller(kind: EventKind) -> bool {
    match kind {
        EventKind::Created
        | EventKind::Paused
        | EventKind::Resumed
        | EventKind::Cancelled
        | EventKind::Retried
        | EventKind::Updated
        | EventKind::Deleted
        | EventKind::ScheduleCreated
        | EventKind::ScheduleUpdated
        | EventKind::SchedulePaused
        | EventKind::ScheduleResumed
        | EventKind::ScheduleDeleted
        | EventKind::PartitionUpdated
        | EventKind::PartitionSuspended
        | EventKind::PartitionResumed
        | EventKind::DeadLettersDropped
        | EventKind::PipeLimitsUpdated
        | EventKind::JobTypeCreated
        | EventKind::JobTypeUpdated
        | EventKind::JobTypeDeleted => true,
        EventKind::Started
        | EventKind::BatchSplit
        | EventKind::FailureRecorded
        | EventKind::Completed
        | EventKind::Failed
        | EventKind::Settled => false,
    }
}
