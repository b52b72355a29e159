//! What is under way in a job's world, and how a transaction ends.

use headway_domain::{
    batches::Split,
    reports::{Failed, PageReport},
    slice::Disposition,
};

/// One item of a task message.
#[derive(Debug, Clone)]
pub(crate) struct TaskItem {
    pub index: u32,
    pub attempt: u32,
    pub stage: u32,
    pub failures: u32,
}

/// A message to workers.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub page: u32,
    pub run: u32,
    pub control: u32,
    pub alone: bool,
    pub announced: bool,
    pub redelivered: bool,
    pub items: Vec<TaskItem>,
}

/// Anything under way.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    /// To batch workers.
    Split { page: u32, attempt: u32 },
    /// What a batch worker found and is about to record.
    Found {
        page: u32,
        attempt: u32,
        found: Result<Split, Failed>,
    },
    /// To batch workers.
    Dispatch {
        page: u32,
        run: u32,
        indexes: Vec<u32>,
    },
    /// To workers.
    Task(Task),
    /// To tracking.
    Report(PageReport),
    /// To one worker.
    Control {
        worker: usize,
        control: u32,
        disposition: Disposition,
    },
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It commits and what it owes is sent.
    Sent,
    /// It commits and its process dies: what it owes stays in the outbox, broadcasts are gone, and
    /// what it worked on is delivered again.
    Unsent,
    /// Its process dies before the commit.
    Undone,
}
