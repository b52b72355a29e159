//! Transient broadcasts on RabbitMQ: a fanout exchange for control messages, a direct exchange for
//! events, and for each subscriber a short queue of its own that ends with its connection.
//!
//! A subscriber that is slow fills its window first and its queue then, where the oldest messages
//! are dropped. It cannot see that, so it is told of a possible loss whenever its window was full.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{BoxFuture, try_join_all};
use futures::{FutureExt, StreamExt};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Consumer as RawConsumer};

use super::channels::declare_exchange;
use super::declare::{number, text};
use super::failure::{EXCHANGE_TIMEOUT, exchange};
use super::link::{Live, topic_exchange};
use super::reattach;
use super::shared::Inner;
use crate::{BrokerError, Subscription, Topic};

/// How many messages a subscriber may hold unacknowledged.
const WINDOW: u16 = 2000;

/// Acknowledge after this many, or when there is nothing more to hand out.
const ACKNOWLEDGE_EVERY: usize = 500;

/// How many messages wait in a subscriber's queue before the oldest are dropped.
const QUEUE_LENGTH: u64 = 10_000;

/// How long a broadcast may hold up its caller.
const BROADCAST_TIMEOUT: Duration = Duration::from_millis(200);

/// Sends to whoever listens now, and gives up soon.
pub(super) async fn broadcast(inner: &Inner, topic: Topic, key: u8, body: &[u8]) {
    let Some(live) = inner.publishing.now().filter(|live| !live.is_blocked()) else {
        return;
    };
    let sent = tokio::time::timeout(BROADCAST_TIMEOUT, send(inner, &live, topic, key, body)).await;
    match sent {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::debug!(?topic, %error, "cannot send a broadcast; its listeners find the change later")
        }
        Err(_) => tracing::debug!(
            ?topic,
            "a broadcast took too long; its listeners find the change later"
        ),
    }
}

async fn send(
    inner: &Inner,
    live: &Live,
    topic: Topic,
    key: u8,
    body: &[u8],
) -> Result<(), BrokerError> {
    let _permit = inner
        .broadcasters
        .acquire()
        .await
        .map_err(|_| BrokerError::Closed)?;
    let lease = live.topics.lease(live.connection()).await?;
    let (name, _) = topic_exchange(&inner.config.prefix, topic)?;
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default();
    exchange(
        lease
            .channel()
            .basic_publish(name, routing_key(key), options, body, properties),
    )
    .await?;
    lease.keep();
    Ok(())
}

fn routing_key(key: u8) -> ShortString {
    key.to_string().into()
}

/// A listener of a topic on RabbitMQ.
pub(super) struct RabbitSubscription {
    inner: Arc<Inner>,
    topic: Topic,
    keys: BTreeSet<u8>,
    stage: Stage,
}

enum Stage {
    Detached,
    /// Kept between calls of `next`, so that a caller that gives up after a moment does not start
    /// it again.
    Attaching(BoxFuture<'static, Result<Attached, BrokerError>>),
    Attached(Box<Attached>),
}

struct Attached {
    channel: Channel,
    queue: ShortString,
    stream: RawConsumer,
    buffer: VecDeque<(u64, Vec<u8>)>,
    /// Handed out and not acknowledged.
    unacknowledged: usize,
    /// The window was full and has not been empty since.
    behind: bool,
}

impl RabbitSubscription {
    /// Attaches; gives up after a bounded time.
    pub(crate) async fn start(
        inner: Arc<Inner>,
        topic: Topic,
        keys: &[u8],
    ) -> Result<Self, BrokerError> {
        let keys: BTreeSet<u8> = keys.iter().copied().collect();
        let patience = inner.config.repair_wait + EXCHANGE_TIMEOUT;
        let attaching = attach(inner.clone(), topic, keys.clone());
        let attached = tokio::time::timeout(patience, attaching)
            .await
            .map_err(|_| {
                BrokerError::Unavailable("the topic cannot be listened to now".into())
            })??;
        Ok(Self {
            inner,
            topic,
            keys,
            stage: Stage::Attached(Box::new(attached)),
        })
    }
}

#[async_trait]
impl Subscription for RabbitSubscription {
    async fn next(&mut self) -> Result<Option<Bytes>, BrokerError> {
        loop {
            if self.inner.closed.is_cancelled() {
                return Err(BrokerError::Closed);
            }
            match &mut self.stage {
                Stage::Detached => {
                    let attaching = attach(self.inner.clone(), self.topic, self.keys.clone());
                    self.stage = Stage::Attaching(attaching.boxed());
                }
                Stage::Attaching(attaching) => {
                    let attached = attaching.await;
                    self.stage = Stage::Detached;
                    self.stage = Stage::Attached(Box::new(attached?));
                    // Whatever was sent in between is lost.
                    return Ok(None);
                }
                Stage::Attached(attached) => {
                    let received = tokio::select! {
                        biased;
                        () = self.inner.closed.cancelled() => continue,
                        received = attached.receive() => received,
                    };
                    match received {
                        Some(received) => return Ok(received),
                        None => {
                            tracing::info!(topic = ?self.topic, "lost the subscription; subscribing again");
                            self.stage = Stage::Detached;
                        }
                    }
                }
            }
        }
    }

    async fn set_keys(&mut self, keys: &[u8]) -> Result<(), BrokerError> {
        let wanted: BTreeSet<u8> = keys.iter().copied().collect();
        let previous = std::mem::replace(&mut self.keys, wanted);
        if self.inner.closed.is_cancelled() {
            return Err(BrokerError::Closed);
        }
        let Stage::Attached(attached) = &self.stage else {
            self.stage = Stage::Detached;
            return Ok(());
        };
        if self.topic == Topic::Control {
            return Ok(());
        }
        let added: Vec<u8> = self.keys.difference(&previous).copied().collect();
        let removed: Vec<u8> = previous.difference(&self.keys).copied().collect();
        let (name, _) = topic_exchange(&self.inner.config.prefix, self.topic)?;
        let changed = async {
            bind(&attached.channel, &attached.queue, &name, &added).await?;
            unbind(&attached.channel, &attached.queue, &name, &removed).await
        };
        if let Err(error) = changed.await {
            // Attaching again binds the new keys, and tells the listener that it may have missed
            // some.
            tracing::info!(topic = ?self.topic, %error, "lost the subscription; subscribing again");
            self.stage = Stage::Detached;
        }
        Ok(())
    }
}

impl Attached {
    /// The next message, `Some(None)` for a possible loss, `None` when the subscription is gone.
    /// Awaits only while it has nothing, so a dropped future loses nothing.
    async fn receive(&mut self) -> Option<Option<Bytes>> {
        if !self.channel.status().connected() {
            return None;
        }
        while let Some(received) = self.stream.next().now_or_never() {
            self.keep(received)?;
        }
        let full = self.unacknowledged + self.buffer.len() >= usize::from(WINDOW);
        if full && !self.behind {
            self.behind = true;
            return Some(None);
        }
        if self.behind && self.buffer.is_empty() {
            self.behind = false;
            return Some(None);
        }
        if self.buffer.is_empty() {
            let received = self.stream.next().await;
            self.keep(received)?;
        }
        let (tag, body) = self.buffer.pop_front()?;
        self.unacknowledged += 1;
        if self.unacknowledged >= ACKNOWLEDGE_EVERY || self.buffer.is_empty() {
            self.unacknowledged = 0;
            // Queued when first polled; nothing depends on when it leaves.
            let _ = self
                .channel
                .basic_ack(tag, BasicAckOptions { multiple: true })
                .now_or_never();
        }
        Some(Some(Bytes::from(body)))
    }

    fn keep(&mut self, received: Option<lapin::Result<lapin::message::Delivery>>) -> Option<()> {
        let delivery = received?.ok()?;
        self.buffer
            .push_back((delivery.delivery_tag, delivery.data));
        Some(())
    }
}

/// Attaches to the topic, trying until it works or the broker is closed.
async fn attach(
    inner: Arc<Inner>,
    topic: Topic,
    keys: BTreeSet<u8>,
) -> Result<Attached, BrokerError> {
    let attempt = || try_attach(&inner, topic, &keys);
    reattach::until_attached(&inner.closed, attempt, |error| {
        tracing::debug!(?topic, %error, "cannot subscribe to a topic; trying again");
    })
    .await
}

async fn try_attach(
    inner: &Inner,
    topic: Topic,
    keys: &BTreeSet<u8>,
) -> Result<Attached, BrokerError> {
    let live = inner.consuming.live(inner.config.repair_wait).await?;
    live.while_up(attach_on(inner, &live, topic, keys)).await
}

async fn attach_on(
    inner: &Inner,
    live: &Live,
    topic: Topic,
    keys: &BTreeSet<u8>,
) -> Result<Attached, BrokerError> {
    let channel = exchange(live.connection().create_channel()).await?;
    let (name, kind) = topic_exchange(&inner.config.prefix, topic)?;
    declare_exchange(&channel, &name, &kind).await?;
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let declared = exchange(channel.queue_declare("".into(), options, subscriber_queue())).await?;
    let queue = declared.name().clone();
    match topic {
        Topic::Control => bind(&channel, &queue, &name, &[0]).await?,
        Topic::Events => {
            let keys: Vec<u8> = keys.iter().copied().collect();
            bind(&channel, &queue, &name, &keys).await?;
        }
    }
    exchange(channel.basic_qos(WINDOW, BasicQosOptions { global: false })).await?;
    let options = BasicConsumeOptions {
        exclusive: true,
        ..BasicConsumeOptions::default()
    };
    let stream =
        exchange(channel.basic_consume(queue.clone(), "".into(), options, FieldTable::default()))
            .await?;
    Ok(Attached {
        channel,
        queue,
        stream,
        buffer: VecDeque::new(),
        unacknowledged: 0,
        behind: false,
    })
}

/// A classic queue, named so because the default type of a virtual host may be another.
fn subscriber_queue() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("classic"));
    arguments.insert("x-max-length".into(), number(QUEUE_LENGTH));
    arguments.insert("x-overflow".into(), text("drop-head"));
    arguments
}

/// Binds all keys in one round trip: the broker works in order, so the last answer is everyone's.
async fn bind(
    channel: &Channel,
    queue: &ShortString,
    name: &ShortString,
    keys: &[u8],
) -> Result<(), BrokerError> {
    let last = keys.len().saturating_sub(1);
    for (position, key) in keys.iter().enumerate() {
        let options = QueueBindOptions {
            nowait: position != last,
        };
        let arguments = FieldTable::default();
        let bound = channel.queue_bind(
            queue.clone(),
            name.clone(),
            routing_key(*key),
            options,
            arguments,
        );
        exchange(bound).await?;
    }
    Ok(())
}

async fn unbind(
    channel: &Channel,
    queue: &ShortString,
    name: &ShortString,
    keys: &[u8],
) -> Result<(), BrokerError> {
    let unbound = keys.iter().map(|key| {
        channel.queue_unbind(
            queue.clone(),
            name.clone(),
            routing_key(*key),
            FieldTable::default(),
        )
    });
    exchange(try_join_all(unbound)).await.map(|_| ())
}
