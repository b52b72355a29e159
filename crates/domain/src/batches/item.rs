//! The sparse rows of items in an exceptional state.

use uuid::Uuid;

use super::page::Page;
use crate::values::time::Micros;

/// An item in an exceptional state: waiting to be tried again, leased, forwarded, suspected,
/// or reporting fractions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its page.
    pub page: u32,
    /// Its index in the page.
    pub index: u32,
    /// The fencing attempt.
    pub attempt: u32,
    /// The pipeline step.
    pub stage: u32,
    /// Attempts that failed at this stage.
    pub failures: u32,
    /// Starts without an outcome: announced ones, and one that is presumed when the message is
    /// redelivered for the first time.
    pub starts: u32,
    /// Whether `starts` includes a start of the present attempt.
    pub started: bool,
    /// Whether no other item may run beside it, because it was running when two processes died.
    pub alone: bool,
    /// When its next attempt is due.
    pub due: Option<Micros>,
    /// Who runs it under a lease, and until when.
    pub lease: Option<Lease>,
    /// How far it is, in millionths.
    pub fraction: u32,
    /// The task that a forward made of it.
    pub forward: Option<Forward>,
}

/// A long-running item's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The worker's session.
    pub session: Uuid,
    /// When it ends unless renewed.
    pub until: Micros,
}

/// The next step of an item in a pipeline of workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The pipe.
    pub pipe: String,
    /// The task type.
    pub task_type: String,
    /// The input.
    pub payload: Vec<u8>,
    /// Its media type.
    pub content_type: String,
}

impl Item {
    /// The state of an item that has no row.
    pub fn ordinary(page: &Page, index: u32) -> Self {
        Self {
            page: page.number,
            index,
            attempt: page.attempt,
            stage: 0,
            failures: 0,
            starts: 0,
            started: false,
            alone: false,
            due: None,
            lease: None,
            fraction: 0,
            forward: None,
        }
    }

    /// Whether its worker announces its start before it runs.
    pub fn is_announced(&self) -> bool {
        self.starts > 0
    }

    /// Ends the present attempt without an outcome. Its start does not count any more, and later
    /// reports about it are stale.
    pub(crate) fn void_attempt(&mut self) {
        self.attempt += 1;
        self.lease = None;
        if std::mem::take(&mut self.started) {
            self.starts = self.starts.saturating_sub(1);
        }
    }

    /// Whether it is neither delayed nor leased, so that losing its message would lose its work.
    pub fn rests_on_message(&self) -> bool {
        self.due.is_none() && self.lease.is_none()
    }
}
