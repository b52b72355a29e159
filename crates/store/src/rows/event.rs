//! Rows of the audit log.

use headway_domain::{
    Job, JobId, JobName, JobState, JobUid, Micros, PartitionId,
    event::{Caller, EventKind, NewEvent},
};
use sea_orm::FromQueryResult;

use super::{job::state_code, optional, unsigned};
use crate::{
    db::bulk::{Cell, Kind, Table},
    error::StoreError,
};

/// A place in the audit log. The log's order is that of the transactions' ids, which on PostgreSQL is not that of their commits: what
/// is read ends before the oldest transaction that still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// The transaction; 0 on SQLite, which has one writer.
    pub tx: i64,
    /// The number of the event.
    pub seq: i64,
}

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

/// A row of `event`; all columns are empty where there is none.
#[derive(Debug, FromQueryResult)]
pub(crate) struct RawEvent {
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

/// `seq` and `tx` come from the database, and `change` and `subject` are of events that are not about jobs ([`crate::ops::changes`]).
pub(crate) const EVENT: Table = Table {
    name: "event",
    keys: 0,
    insert_only: 0,
    columns: &[
        ("uid", Kind::Bytes),
        ("partition_id", Kind::Text),
        ("job_id", Kind::Text),
        ("kind", Kind::Int),
        ("state", Kind::Int),
        ("revision", Kind::Int),
        ("run", Kind::Int),
        ("actor", Kind::Text),
        ("correlation", Kind::Text),
        ("message", Kind::Text),
        ("batch", Kind::Int),
        ("items", Kind::Int),
        ("recorded", Kind::Int),
    ],
};

/// The columns of [`RawEvent`], with the table as `alias`.
pub(crate) fn event_columns(alias: &str) -> String {
    format!(
        "{alias}.seq, {alias}.tx, {alias}.change, {alias}.subject, {}",
        EVENT.columns_of(alias)
    )
}

/// The cells of [`EVENT`].
pub(crate) fn event_cells(job: &Job, event: &NewEvent, caller: &Caller) -> Vec<Cell> {
    let name = &job.meta.name;
    let said = |text: &str| match is_of_caller(event.kind) {
        true => Cell::from(text),
        false => Cell::from(""),
    };
    vec![
        job.meta.uid.0.as_bytes().to_vec().into(),
        name.partition.as_str().into(),
        name.job.as_str().into(),
        kind_code(event.kind).into(),
        state_code(event.state).into(),
        job.revision.into(),
        job.run.into(),
        said(&caller.user),
        said(&caller.correlation),
        event.message.as_str().into(),
        event.batch.unwrap_or(0).into(),
        event.items.into(),
        job.updated.into(),
    ]
}

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

/// Stored: never to be changed.
pub(crate) fn kind_code(kind: EventKind) -> i64 {
    match kind {
        EventKind::Created => 1,
        EventKind::Started => 2,
        EventKind::Paused => 3,
        EventKind::Resumed => 4,
        EventKind::Cancelled => 5,
        EventKind::Retried => 6,
        EventKind::BatchSplit => 7,
        EventKind::FailureRecorded => 8,
        EventKind::Completed => 9,
        EventKind::Failed => 10,
        EventKind::Settled => 11,
        EventKind::Deleted => 12,
        EventKind::Updated => 13,
        EventKind::ScheduleCreated => 14,
        EventKind::ScheduleUpdated => 15,
        EventKind::SchedulePaused => 16,
        EventKind::ScheduleResumed => 17,
        EventKind::ScheduleDeleted => 18,
        EventKind::PartitionUpdated => 19,
        EventKind::PartitionSuspended => 20,
        EventKind::PartitionResumed => 21,
        EventKind::DeadLettersDropped => 22,
        EventKind::PipeLimitsUpdated => 23,
        EventKind::JobTypeCreated => 24,
        EventKind::JobTypeUpdated => 25,
        EventKind::JobTypeDeleted => 26,
    }
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
            kind: EventKind::ALL
                .into_iter()
                .find(|ours| kind_code(*ours) == kind)
                .ok_or_else(|| broken("its kind is unknown"))?,
            state: match is_job {
                true => Some(super::job::state_of(state)?),
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
