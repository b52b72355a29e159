//! Pipes on RabbitMQ (3.10 and later, 4.x included). The only user of lapin: none of its types
//! leave this module.
//!
//! One connection publishes, another consumes, so that a broker that holds back publishers does not
//! hold back acknowledgements. Each is repaired by its `link.rs`; what runs on it starts itself
//! again.

mod acker;
mod channels;
mod config;
mod consumer;
mod declare;
mod deployment;
mod epoch;
mod failure;
mod link;
mod outstanding;
mod publish;
mod reattach;
mod shared;
mod topics;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use lapin::options::QueuePurgeOptions;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use config::{AmqpUrl, RabbitConfig};

use crate::{Broker, BrokerError, Consumer, Depth, Outgoing, Queue, Subscription, Topic, names};
use consumer::RabbitConsumer;
use failure::{bounded, is_not_found, unavailable};
use link::short;
use shared::Inner;
use topics::RabbitSubscription;

/// How long [`Broker::close`] may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many broadcasts are sent at once.
const BROADCASTERS: usize = 2;

/// How many publishes wait for queues that do not answer, beside those that run at once.
const HELD_UP: usize = 256;

/// A broker on RabbitMQ. Clones share everything; when the last one and all that it made are gone,
/// the connections close.
#[derive(Clone)]
pub struct RabbitBroker {
    inner: Arc<Inner>,
}

impl RabbitBroker {
    /// Connects. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// `Refused` if the configuration is out of bounds; `Unavailable` if the broker cannot be
    /// reached within the connection timeout.
    pub async fn connect(config: RabbitConfig) -> Result<Self, BrokerError> {
        let patience = config.connection_timeout;
        let broker = Self::start(config)?;
        broker.inner.publishing.live(patience).await?;
        broker.inner.consuming.live(patience).await?;
        Ok(broker)
    }

    /// Starts without waiting for the broker, which may come later. Must be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// `Refused` if the configuration is out of bounds.
    #[expect(
        clippy::disallowed_methods,
        reason = "a keeper that panics drops its sender: all who wait for the connection get `Closed`"
    )]
    pub fn start(config: RabbitConfig) -> Result<Self, BrokerError> {
        config.validate()?;
        let uri = config.url.parse()?;
        let closed = CancellationToken::new();
        let links = TaskTracker::new();
        let (publishing, keep) = link::link("publishing", &config, uri.clone(), closed.clone());
        links.spawn(keep);
        let (consuming, keep) = link::link("consuming", &config, uri, closed.clone());
        links.spawn(keep);
        links.close();
        let publishers = Semaphore::new(config.publishing_channels);
        let broadcasters = Semaphore::new(BROADCASTERS);
        let declared = Mutex::default();
        let inner = Inner {
            config,
            publishing,
            consuming,
            closed,
            links,
            publishers,
            held_up: Semaphore::new(HELD_UP),
            broadcasters,
            declared,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Whether both connections work now and publishes are accepted.
    pub fn is_ready(&self) -> bool {
        let publishing = self
            .inner
            .publishing
            .now()
            .is_some_and(|live| !live.is_blocked());
        publishing && self.inner.consuming.now().is_some()
    }
}

impl fmt::Debug for RabbitBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitBroker")
            .field("prefix", &self.inner.config.prefix)
            .field("ready", &self.is_ready())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for RabbitBroker {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), BrokerError>> {
        publish::publish(&self.inner, &messages).await
    }

    async fn consume(
        &self,
        queue: &Queue,
        prefetch: u16,
    ) -> Result<Box<dyn Consumer>, BrokerError> {
        let consumer = RabbitConsumer::start(self.inner.clone(), queue.clone(), prefetch).await?;
        Ok(Box::new(consumer))
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth, BrokerError> {
        let name = short(names::queue_name(&self.inner.config.prefix, queue))?;
        let live = self.inner.administration().await?;
        Ok(declare::look(&live, name).await?.unwrap_or_default())
    }

    async fn purge(&self, queue: &Queue) -> Result<(), BrokerError> {
        let name = short(names::queue_name(&self.inner.config.prefix, queue))?;
        let live = self.inner.administration().await?;
        let lease = live.plain.lease(live.connection()).await?;
        match bounded(
            lease
                .channel()
                .queue_purge(name, QueuePurgeOptions::default()),
        )
        .await?
        {
            Ok(_) => lease.keep(),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(unavailable(&error)),
        }
        Ok(())
    }

    async fn delete(&self, queue: &Queue) -> Result<(), BrokerError> {
        let name = short(names::queue_name(&self.inner.config.prefix, queue))?;
        let live = self.inner.administration().await?;
        // Still remembered as declared, so the next publish finds it missing and pauses before it
        // declares it: see `declare::PAUSE_BEFORE_REBIRTH`.
        declare::delete(&live, name).await
    }

    async fn broadcast(&self, topic: Topic, key: u8, body: Bytes) {
        topics::broadcast(&self.inner, topic, key, &body).await;
    }

    async fn subscribe(
        &self,
        topic: Topic,
        keys: &[u8],
    ) -> Result<Box<dyn Subscription>, BrokerError> {
        let subscription = RabbitSubscription::start(self.inner.clone(), topic, keys).await?;
        Ok(Box::new(subscription))
    }

    async fn claim_prefix(&self, deployment: Uuid) -> Result<Option<String>, BrokerError> {
        deployment::claim(&self.inner, deployment).await
    }

    async fn plant_epoch(&self, epoch: Uuid) -> Result<(), BrokerError> {
        epoch::plant(&self.inner, epoch).await
    }

    async fn has_epoch(&self, epoch: Uuid) -> Result<bool, BrokerError> {
        epoch::has(&self.inner, epoch).await
    }

    async fn remove_epoch(&self, epoch: Uuid) -> Result<(), BrokerError> {
        epoch::remove(&self.inner, epoch).await
    }

    async fn close(&self) {
        self.inner.closed.cancel();
        if tokio::time::timeout(CLOSE_TIMEOUT, self.inner.links.wait())
            .await
            .is_err()
        {
            tracing::warn!("the connections to the message broker did not close in time");
        }
    }
}
