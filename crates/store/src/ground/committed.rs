//! What a committed change means for others: to be published after the commit.

use crate::outbox::message::OutboxMessage;

/// What a committed change means for others: to be published after the commit.
#[derive(Debug, Clone, Default)]
pub struct Committed {
    /// Messages for the broker. They stay in the outbox until [`crate::Store::outbox_sent`].
    pub outbox: Vec<OutboxMessage>,
    /// Control broadcasts to workers.
    pub controls: Vec<Control>,
    /// Jobs that changed, for watchers.
    pub changes: Vec<Change>,
    /// Whether there are release tasks: see [`crate::Store::release_dependents`].
    pub releases: bool,
}

impl Committed {
    /// Joins what another transaction committed.
    pub fn merge(&mut self, mut other: Self) {
        self.outbox.append(&mut other.outbox);
        self.controls.append(&mut other.controls);
        self.changes.append(&mut other.changes);
        self.releases |= other.releases;
    }
}

/// A control broadcast to workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// The job.
    pub uid: headway_domain::JobUid,
    /// The control counter of this status.
    pub control: u32,
    /// What to do.
    pub disposition: headway_domain::slice::Disposition,
}

/// A job that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The job.
    pub uid: headway_domain::JobUid,
    /// Its partition.
    pub partition: headway_domain::PartitionId,
    /// Its new revision.
    pub revision: i64,
    /// When it changed.
    pub time: headway_domain::Micros,
    /// Whether it was deleted.
    pub deleted: bool,
}
