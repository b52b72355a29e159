//! What all handles of one broker share: its queues, topics and epochs.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::queue::{PipeMemory, Push, QueueCore};
use super::topics::Topics;
use crate::{BrokerError, Queue};

/// The most bytes of ready messages in all pipes together.
const PIPES_BYTES: u64 = 1 << 30;

/// What all handles of one broker share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) queues: RwLock<HashMap<Queue, Arc<QueueCore>>>,
    pub(super) memory: Arc<PipeMemory>,
    pub(super) topics: Topics,
    pub(super) epochs: Mutex<HashSet<Uuid>>,
    pub(super) closed: CancellationToken,
}

impl Default for Core {
    fn default() -> Self {
        Self {
            queues: RwLock::default(),
            memory: Arc::new(PipeMemory::new(PIPES_BYTES)),
            topics: Topics::default(),
            epochs: Mutex::default(),
            closed: CancellationToken::new(),
        }
    }
}

impl Core {
    /// The queue if somebody used it already.
    pub(super) fn existing(&self, queue: &Queue) -> Option<Arc<QueueCore>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        queues.get(queue).cloned()
    }

    /// The queue, made on first use.
    pub(super) fn queue(&self, queue: &Queue) -> Arc<QueueCore> {
        if let Some(found) = self.existing(queue) {
            return found;
        }
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        let made = queues
            .entry(queue.clone())
            .or_insert_with(|| Arc::new(QueueCore::new(queue, &self.memory)));
        made.clone()
    }

    /// Publishes bodies to one queue under one lock. The loop ends: a queue is found deleted only
    /// when somebody deleted it after it was looked up.
    pub(super) fn push(&self, queue: &Queue, bodies: Vec<Bytes>) -> Vec<Result<(), BrokerError>> {
        let mut bodies = bodies;
        loop {
            match self.queue(queue).push(bodies) {
                Push::Done(results) => return results,
                Push::Deleted(back) => bodies = back,
            }
        }
    }

    /// Moves what `source` gave up to its dead letters. They are not held to the target's bounds:
    /// they come from bounded queues, and refusing them here would lose them.
    pub(super) fn dead_letter(&self, source: &QueueCore, bodies: Vec<Bytes>) {
        let Some(target) = &source.arguments().dead_letters else {
            tracing::warn!(queue = ?source.queue(), messages = bodies.len(), "dropped messages that were delivered too often or rejected; their queue has no dead letters");
            return;
        };
        let mut bodies = bodies;
        while let Some(back) = self.queue(target).push_unbounded(bodies) {
            bodies = back;
        }
    }
}
