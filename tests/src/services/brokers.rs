//! A broker that misbehaves within what the contract allows, around any other one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use headway::wire::{ControlMessage, Disposition};
use headway_broker::{Broker, BrokerError, Consumer, Depth, Outgoing, Queue, Subscription, Topic};
use prost::Message;
use uuid::Uuid;

use crate::{SECOND, WORK};

/// Publishes every message twice.
pub fn twice(broker: Arc<dyn Broker>) -> Arc<dyn Broker> {
    faulty(broker, Fault::Twice)
}

/// Loses every control message that lets a job run: what its workers know of a job stays "paused".
pub fn deaf(broker: Arc<dyn Broker>) -> Arc<dyn Broker> {
    faulty(broker, Fault::Deaf)
}

/// Refuses every message to [`SECOND`], as a full pipe does.
pub fn full(broker: Arc<dyn Broker>) -> Arc<dyn Broker> {
    faulty(broker, Fault::Full)
}

/// Refuses messages to [`SECOND`] above this size, as a broker that is configured for small ones.
pub const TIGHT_BYTES: usize = 2000;

/// Takes no message to [`SECOND`] above [`TIGHT_BYTES`].
pub fn tight(broker: Arc<dyn Broker>) -> Arc<dyn Broker> {
    faulty(broker, Fault::Tight)
}

/// Tells the depth of no pipe but [`WORK`]. Once [`SECOND`] is purged through it, it tells all of
/// them to that caller.
pub fn blind(broker: Arc<dyn Broker>) -> Arc<dyn Broker> {
    faulty(broker, Fault::Blind)
}

/// Confirms no message to [`SECOND`], as a queue without a leader: who publishes there waits for
/// the confirm timeout.
pub fn leaderless(broker: Arc<dyn Broker>) -> Arc<dyn Broker> {
    faulty(broker, Fault::Leaderless)
}

/// How long a publish waits for confirms.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

/// The pipe that [`busy`] never shows without a message.
pub const BUSY: &str = "busy";

/// Never shows the pipe [`BUSY`] without a message, as if somebody had just sent one each time that
/// it is looked at.
pub fn busy(broker: Arc<dyn Broker>) -> Arc<dyn Broker> {
    faulty(broker, Fault::Busy)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Twice,
    Deaf,
    Full,
    Tight,
    Blind,
    Leaderless,
    Busy,
}

#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn Broker>,
    fault: Fault,
    /// Whether depths are told again.
    sees: AtomicBool,
}

fn faulty(broker: Arc<dyn Broker>, fault: Fault) -> Arc<dyn Broker> {
    Arc::new(Faulty {
        inner: broker,
        fault,
        sees: AtomicBool::new(false),
    })
}

impl Faulty {
    /// Publishes all but those to [`SECOND`] that are too large for it.
    async fn publish_small(&self, messages: Vec<Outgoing>) -> Vec<Result<(), BrokerError>> {
        let second = Queue::Pipe(SECOND.to_owned());
        let mut results = Vec::with_capacity(messages.len());
        for message in messages {
            let bytes = message.body.len();
            if message.queue == second && bytes > TIGHT_BYTES {
                results.push(Err(BrokerError::TooLarge(bytes)));
            } else {
                results.extend(self.inner.publish(vec![message]).await);
            }
        }
        results
    }

    /// Publishes all but the messages to [`SECOND`], which that pipe does not take.
    async fn publish_elsewhere(&self, messages: Vec<Outgoing>) -> Vec<Result<(), BrokerError>> {
        let (error, pause) = match self.fault {
            Fault::Full => (
                BrokerError::Refused("a test says so".into()),
                Duration::ZERO,
            ),
            _ => (
                BrokerError::Stalled("a test says so".into()),
                CONFIRM_TIMEOUT,
            ),
        };
        let second = Queue::Pipe(SECOND.to_owned());
        let is_second: Vec<bool> = messages
            .iter()
            .map(|message| message.queue == second)
            .collect();
        let others = messages
            .into_iter()
            .filter(|message| message.queue != second);
        let mut results = self.inner.publish(others.collect()).await.into_iter();
        if is_second.contains(&true) {
            tokio::time::sleep(pause).await;
        }
        let result = |second: bool| match second {
            true => Err(error.clone()),
            false => results.next().unwrap_or_else(|| Err(error.clone())),
        };
        is_second.into_iter().map(result).collect()
    }
}

#[async_trait]
impl Broker for Faulty {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), BrokerError>> {
        if matches!(self.fault, Fault::Full | Fault::Leaderless) {
            return self.publish_elsewhere(messages).await;
        }
        if self.fault == Fault::Tight {
            return self.publish_small(messages).await;
        }
        if self.fault != Fault::Twice {
            return self.inner.publish(messages).await;
        }
        let both = |message: Outgoing| [message.clone(), message];
        let results = self
            .inner
            .publish(messages.into_iter().flat_map(both).collect())
            .await;
        let mut results = results.into_iter();
        let mut joined = Vec::new();
        while let (Some(first), Some(second)) = (results.next(), results.next()) {
            joined.push(first.and(second));
        }
        joined
    }

    async fn subscribe(
        &self,
        topic: Topic,
        keys: &[u8],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        let inner = self.inner.subscribe(topic, keys).await?;
        Ok(match (self.fault, topic) {
            (Fault::Deaf, Topic::Control) => Box::new(HardOfHearing(inner)),
            _ => inner,
        })
    }

    async fn consume(
        &self,
        queue: &Queue,
        prefetch: u16,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        self.inner.consume(queue, prefetch).await
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth, BrokerError> {
        let other = matches!(queue, Queue::Pipe(pipe) if pipe != WORK);
        if self.fault == Fault::Blind && other && !self.sees.load(Ordering::Relaxed) {
            return Err(BrokerError::Unavailable("a test says so".into()));
        }
        let mut depth = self.inner.depth(queue).await?;
        if self.fault == Fault::Busy && matches!(queue, Queue::Pipe(pipe) if pipe == BUSY) {
            depth.ready = depth.ready.max(1);
        }
        Ok(depth)
    }

    async fn purge(&self, queue: &Queue) -> Result<(), BrokerError> {
        if self.fault == Fault::Blind && *queue == Queue::Pipe(SECOND.to_owned()) {
            self.sees.store(true, Ordering::Relaxed);
            return Ok(());
        }
        self.inner.purge(queue).await
    }

    async fn delete(&self, queue: &Queue) -> Result<(), BrokerError> {
        self.inner.delete(queue).await
    }

    async fn broadcast(&self, topic: Topic, key: u8, body: Bytes) {
        self.inner.broadcast(topic, key, body).await;
    }

    async fn plant_epoch(&self, epoch: Uuid) -> Result<(), BrokerError> {
        self.inner.plant_epoch(epoch).await
    }

    async fn has_epoch(&self, epoch: Uuid) -> Result<bool, BrokerError> {
        self.inner.has_epoch(epoch).await
    }

    async fn remove_epoch(&self, epoch: Uuid) -> Result<(), BrokerError> {
        self.inner.remove_epoch(epoch).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// A subscription without the messages that let a job run.
struct HardOfHearing(Box<dyn Subscription>);

#[async_trait]
impl Subscription for HardOfHearing {
    async fn next(&mut self) -> Result<Option<Bytes>, BrokerError> {
        loop {
            let next = self.0.next().await?;
            let run = next.as_ref().is_some_and(|body| {
                ControlMessage::decode(body.clone())
                    .is_ok_and(|message| message.disposition() == Disposition::Run)
            });
            if !run {
                return Ok(next);
            }
        }
    }

    async fn set_keys(&mut self, keys: &[u8]) -> Result<(), BrokerError> {
        self.0.set_keys(keys).await
    }
}
