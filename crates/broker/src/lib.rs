//! Pipes: durable queues with confirms, acknowledgements and redelivery, and transient broadcasts.
//! One trait, two implementations: [`in_process`] and [`rabbitmq`], the only user of lapin.
//!
//! What does not live here: what the messages mean. Bodies are opaque bytes.

pub mod in_process;
pub mod names;
pub mod rabbitmq;

use std::fmt;

pub use in_process::InProcessBroker;
pub use rabbitmq::{AmqpUrl, RabbitBroker, RabbitConfig};

use async_trait::async_trait;
use bytes::Bytes;

/// A durable queue, named without the deployment's prefix.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Queue {
    /// A user's pipe: `{prefix}.p.{name}`. Dead letters go to [`Queue::DeadTasks`].
    Pipe(String),
    /// Reports of one logical shard: `{prefix}.s.reports.{shard}`. Dead letters go to
    /// [`Queue::DeadSystem`].
    Reports(u16),
    /// Work for batch workers: `{prefix}.s.batch`. Dead letters go to [`Queue::DeadSystem`].
    Batch,
    /// Task messages that their pipe gave up: `{prefix}.s.dead-tasks`.
    DeadTasks,
    /// Reports and batch messages that their queue gave up: `{prefix}.s.dead-system`.
    DeadSystem,
}

/// A transient broadcast: every subscriber that listens to the key gets a copy; nobody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Control messages to every worker; the key is ignored.
    Control,
    /// Job changes to servers; the key is the event shard, 0 to 255.
    Events,
}

/// A message to publish to a queue.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Where it goes.
    pub queue: Queue,
    /// The encoded message.
    pub body: Bytes,
}

/// A message received from a queue. It stays owned by the queue until it is acknowledged.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The encoded message.
    pub body: Bytes,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// What to acknowledge.
    pub tag: DeliveryTag,
}

/// Identifies a delivery within its consumer. Tags of a lost channel are ignored when acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryTag {
    /// Rises each time the consumer had to connect again.
    pub generation: u64,
    /// The number within the generation.
    pub number: u64,
}

/// How full a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Messages that wait for a consumer.
    pub ready: u64,
    /// Consumers attached now.
    pub consumers: u64,
}

/// Why something could not be done. Every kind is a passing one unless it says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The connection is lost, blocked or not yet made; trying again helps.
    #[error("the message broker is unavailable: {0}")]
    Unavailable(String),
    /// The broker returned the message: no such queue. The queue is declared again before the next
    /// try.
    #[error("the message broker has no queue {0}")]
    Unroutable(String),
    /// The broker refused the message, as when a queue is full; trying again later helps.
    #[error("the message broker refused the message: {0}")]
    Refused(String),
    /// The message's queue does not answer although the broker does, as when the queue has no
    /// leader; trying again later helps. The message may have arrived all the same.
    #[error("the queue does not answer: {0}")]
    Stalled(String),
    /// The message is larger than the broker takes. Lasting.
    #[error("the message of {0} bytes is larger than the message broker takes")]
    TooLarge(usize),
    /// The broker was shut down on purpose by [`Broker::close`]. Lasting.
    #[error("the message broker connection is closed")]
    Closed,
}

impl BrokerError {
    /// Whether the trouble is that of the message's queue alone: messages to other queues can still
    /// be published.
    pub fn is_of_queue(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Stalled(_) | Self::Unroutable(_) => true,
            Self::Unavailable(_) | Self::TooLarge(_) | Self::Closed => false,
        }
    }
}

/// A message broker: durable queues and transient topics.
#[async_trait]
pub trait Broker: Send + Sync + fmt::Debug + 'static {
    /// Publishes persistent messages, declaring queues on first use, and waits for every confirm.
    /// Returns one result a message, in order; `Ok` means that the broker has taken responsibility
    /// for it.
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), BrokerError>>;

    /// Starts to consume a queue, declaring it on first use. `prefetch` (1 to 65,535) bounds the
    /// unacknowledged deliveries. The consumer repairs itself after a lost connection or a
    /// cancelled consumer, prefetch included.
    async fn consume(&self, queue: &Queue, prefetch: u16)
    -> Result<Box<dyn Consumer>, BrokerError>;

    /// Looks at a queue without consuming. A queue that does not exist has depth 0.
    async fn depth(&self, queue: &Queue) -> Result<Depth, BrokerError>;

    /// Drops every ready message of a queue.
    async fn purge(&self, queue: &Queue) -> Result<(), BrokerError>;

    /// Deletes a queue with its messages.
    async fn delete(&self, queue: &Queue) -> Result<(), BrokerError>;

    /// Sends a transient message to whoever listens now: not confirmed, may be lost, never blocks
    /// for long.
    async fn broadcast(&self, topic: Topic, key: u8, body: Bytes);

    /// Listens to a topic. Starts with the given keys; see [`Subscription::set_keys`].
    async fn subscribe(
        &self,
        topic: Topic,
        keys: &[u8],
    ) -> Result<Box<dyn Subscription>, BrokerError>;

    /// Takes the prefix of this broker's queues for a deployment, durably; names the other
    /// deployment that has it already. A broker inside a process is shared with nobody: its prefix
    /// is always free.
    async fn claim_prefix(&self, deployment: uuid::Uuid) -> Result<Option<String>, BrokerError> {
        let _ = deployment;
        Ok(None)
    }

    /// Leaves a durable mark that tells this broker's data from an emptied one.
    async fn plant_epoch(&self, epoch: uuid::Uuid) -> Result<(), BrokerError>;

    /// Whether the mark is still there. A broker that lost its data answers `false`.
    async fn has_epoch(&self, epoch: uuid::Uuid) -> Result<bool, BrokerError>;

    /// Takes a mark away again; one that is not there is no error.
    async fn remove_epoch(&self, epoch: uuid::Uuid) -> Result<(), BrokerError>;

    /// Ends every connection and consumer; unacknowledged deliveries go back to their queues. Takes
    /// at most 5 s.
    async fn close(&self);
}

/// A consumer of one queue.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for at least one delivery and returns up to `max` that are there already.
    /// `Err(Closed)` when the broker was closed; every other loss is repaired inside.
    /// Cancel-safe: dropping the future loses no delivery.
    async fn next(&mut self, max: usize) -> Result<Vec<Delivery>, BrokerError>;

    /// The handle that acknowledges this consumer's deliveries, from any task.
    fn acker(&self) -> std::sync::Arc<dyn Acker>;

    /// Changes the prefetch for deliveries to come. Let it come to its end, which is bounded: given
    /// up half-way it may leave a subscription that nobody reads.
    async fn set_prefetch(&mut self, prefetch: u16) -> Result<(), BrokerError>;

    /// Stops new deliveries; what was received and not acknowledged stays owned until the consumer
    /// is dropped, when it goes back to the queue. After it, [`Consumer::next`] answers
    /// `Err(Closed)`.
    async fn stop(&mut self);
}

/// Acknowledges deliveries of one consumer.
#[async_trait]
pub trait Acker: Send + Sync {
    /// Acknowledges; joins neighbouring tags into one protocol message. Stale tags are ignored:
    /// their messages come again.
    async fn ack(&self, tags: &[DeliveryTag]);

    /// Gives messages back: to the queue again (`requeue`), or to the dead letters.
    async fn reject(&self, tags: &[DeliveryTag], requeue: bool);
}

/// A listener of a topic.
#[async_trait]
pub trait Subscription: Send {
    /// The next message; `Ok(None)` when messages may have been lost (overflow or a lost
    /// connection) and the listener should compare what it watches with the database.
    /// Cancel-safe.
    async fn next(&mut self) -> Result<Option<Bytes>, BrokerError>;

    /// Listens to exactly these keys from now on.
    async fn set_keys(&mut self, keys: &[u8]) -> Result<(), BrokerError>;
}
