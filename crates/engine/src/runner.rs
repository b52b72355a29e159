//! What runs the items of an engine: it takes them from the queue and hands over how they ended.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::ending::{Ending, Failure};
use crate::ledger::Key;
use crate::queue::RunQueue;

/// How a try ended.
#[derive(Debug)]
pub enum Verdict {
    /// Well.
    Ended(Ending),
    /// In a failure.
    Failed(Failure),
    /// By the cancellation of its job.
    Discarded,
    /// By the shutdown of the worker.
    Returned,
}

/// An item whose try ended.
#[derive(Debug)]
pub struct Finished {
    /// Its delivery.
    pub key: Key,
    /// Its place in the message.
    pub position: usize,
    /// How it ended.
    pub verdict: Verdict,
}

/// Runs items.
pub trait Runner {
    /// Starts the tasks that run items, and returns the channel on which they say how items ended.
    /// They take items from `queue`, say of each exactly once how it ended, and end when nobody
    /// receives any more. When the channel is full they wait; the engine never waits for them. At
    /// its own end the engine aborts the tasks that are left.
    fn start(self, queue: Arc<RunQueue>, tasks: &mut JoinSet<()>) -> mpsc::Receiver<Vec<Finished>>;
}
