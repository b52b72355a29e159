//! Pipes inside one process: the same promises as a real broker, but in memory, so a restart finds
//! them empty. Locks are short, never held across an await, and taken once a batch.

mod consumer;
mod queue;
mod topics;
mod unacked;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::coop::consume_budget;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{Broker, BrokerError, Consumer, Depth, Outgoing, Queue, Subscription, Topic};
use consumer::InProcessConsumer;
use queue::{PipeMemory, Push, QueueCore};
use topics::Topics;

/// Locks; a panic elsewhere while it was held leaves data that is still whole, because no critical
/// section here can stop half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The most bytes of ready messages in all pipes together.
const PIPES_BYTES: u64 = 1 << 30;

/// A broker in memory, for one process. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct InProcessBroker {
    core: Arc<Core>,
}

/// What all handles of one broker share.
#[derive(Debug)]
struct Core {
    queues: RwLock<HashMap<Queue, Arc<QueueCore>>>,
    memory: Arc<PipeMemory>,
    topics: Topics,
    epochs: Mutex<HashSet<Uuid>>,
    closed: CancellationToken,
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

impl InProcessBroker {
    /// Makes an empty broker.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Core {
    /// The queue if somebody used it already.
    fn existing(&self, queue: &Queue) -> Option<Arc<QueueCore>> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        queues.get(queue).cloned()
    }

    /// The queue, made on first use.
    fn queue(&self, queue: &Queue) -> Arc<QueueCore> {
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
    fn push(&self, queue: &Queue, bodies: Vec<Bytes>) -> Vec<Result<(), BrokerError>> {
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
    fn dead_letter(&self, source: &QueueCore, bodies: Vec<Bytes>) {
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

#[async_trait]
impl Broker for InProcessBroker {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), BrokerError>> {
        consume_budget().await;
        if self.core.closed.is_cancelled() {
            return messages.iter().map(|_| Err(BrokerError::Closed)).collect();
        }
        let Some(first) = messages.first() else {
            return Vec::new();
        };
        // The usual batch goes to one queue: one look-up, one lock.
        if messages.iter().all(|message| message.queue == first.queue) {
            let queue = first.queue.clone();
            return self.core.push(
                &queue,
                messages.into_iter().map(|message| message.body).collect(),
            );
        }
        let mut results = vec![Ok(()); messages.len()];
        let mut groups: HashMap<Queue, (Vec<usize>, Vec<Bytes>)> = HashMap::new();
        for (index, message) in messages.into_iter().enumerate() {
            let (indices, bodies) = groups.entry(message.queue).or_default();
            indices.push(index);
            bodies.push(message.body);
        }
        for (queue, (indices, bodies)) in groups {
            for (index, result) in indices.into_iter().zip(self.core.push(&queue, bodies)) {
                results[index] = result;
            }
        }
        results
    }

    async fn consume(
        &self,
        queue: &Queue,
        prefetch: u16,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        if self.core.closed.is_cancelled() {
            return Err(BrokerError::Closed);
        }
        Ok(Box::new(InProcessConsumer::attach(
            self.core.clone(),
            queue,
            prefetch,
        )))
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth, BrokerError> {
        Ok(self
            .core
            .existing(queue)
            .map(|found| found.depth())
            .unwrap_or_default())
    }

    async fn purge(&self, queue: &Queue) -> Result<(), BrokerError> {
        if let Some(found) = self.core.existing(queue) {
            found.purge();
        }
        Ok(())
    }

    async fn delete(&self, queue: &Queue) -> Result<(), BrokerError> {
        let removed = {
            let mut queues = self
                .core
                .queues
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            queues.remove(queue)
        };
        if let Some(removed) = removed {
            removed.delete();
        }
        Ok(())
    }

    async fn broadcast(&self, topic: Topic, key: u8, body: Bytes) {
        if !self.core.closed.is_cancelled() {
            self.core.topics.broadcast(topic, key, &body);
        }
    }

    async fn subscribe(
        &self,
        topic: Topic,
        keys: &[u8],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        if self.core.closed.is_cancelled() {
            return Err(BrokerError::Closed);
        }
        Ok(Box::new(topics::subscribe(self.core.clone(), topic, keys)))
    }

    async fn plant_epoch(&self, epoch: Uuid) -> Result<(), BrokerError> {
        lock(&self.core.epochs).insert(epoch);
        Ok(())
    }

    async fn has_epoch(&self, epoch: Uuid) -> Result<bool, BrokerError> {
        Ok(lock(&self.core.epochs).contains(&epoch))
    }

    async fn remove_epoch(&self, epoch: Uuid) -> Result<(), BrokerError> {
        lock(&self.core.epochs).remove(&epoch);
        Ok(())
    }

    async fn close(&self) {
        self.core.closed.cancel();
    }
}
