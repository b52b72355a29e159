//! What workers report about items.

use uuid::Uuid;

use super::failure::Failed;
use crate::{batches::item::Forward, values::ids::JobUid};

/// Reports about items of one page of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageReport {
    /// The job.
    pub job: JobUid,
    /// The page.
    pub page: u32,
    /// The run that the items were sent in.
    pub run: u32,
    /// Items done in attempt 0 and stage 0.
    pub done: Vec<u32>,
    /// Everything else.
    pub items: Vec<ItemReport>,
    /// The worker's session.
    pub session: Uuid,
    /// The worker's name, for failures.
    pub worker: String,
}

/// What happened to one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemReport {
    /// Its index in the page.
    pub index: u32,
    /// The fencing attempt that the worker was given.
    pub attempt: u32,
    /// The pipeline step that the worker was given.
    pub stage: u32,
    /// What happened.
    pub event: ItemEvent,
}

/// What may happen to an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemEvent {
    /// It ended well.
    Done,
    /// It failed.
    Failed(Failed),
    /// It was discarded because the job was cancelled or stopped.
    Discarded,
    /// It was parked because the job is paused.
    Parked,
    /// An item whose starts are announced is about to run.
    Started,
    /// Its delivery became a lease.
    Leased,
    /// How far it is, in millionths.
    Fraction(u32),
    /// It goes to another pipe.
    Forward(Forward),
    /// Its message was redelivered and it was not run.
    Suspect,
}

/// How many reports of one page counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Reports that changed something.
    pub applied: u64,
    /// Reports that came too late or twice.
    pub stale: u64,
    /// Items that left their pipe: outcomes and forwards.
    pub drained: u64,
}
