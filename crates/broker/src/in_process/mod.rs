//! Pipes inside one process: the same promises as a real broker, but in memory, so a restart finds
//! them empty. Locks are short, never held across an await, and taken once a batch.

mod consumer;
mod core;
mod lock;
mod queue;
mod topics;
mod unacked;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::coop::consume_budget;
use uuid::Uuid;

use self::core::Core;
use crate::{Broker, BrokerError, Consumer, Depth, Outgoing, Queue, Subscription, Topic};
use consumer::InProcessConsumer;
use lock::lock;

/// A broker in memory, for one process. Clones share everything.
#[derive(Debug, Clone, Default)]
pub struct InProcessBroker {
    core: Arc<Core>,
}

impl InProcessBroker {
    /// Makes an empty broker.
    pub fn new() -> Self {
        Self::default()
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
