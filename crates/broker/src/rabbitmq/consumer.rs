//! A consumer that attaches itself again after every loss: declare, set the prefetch, consume. A
//! cancelled consumer (its queue was deleted, or lost its leader) counts as a loss too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use lapin::message::Delivery as RawDelivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer as RawConsumer};
use tokio::time::Instant;

use super::acker::RabbitAcker;
use super::failure::{EXCHANGE_TIMEOUT, exchange, unavailable};
use super::link::{Live, short};
use super::{config::RabbitConfig, declare, reattach, shared::Inner};
use crate::{Acker, BrokerError, Consumer, Delivery, DeliveryTag, Queue, names};

/// How long at most to receive what is on its way before a subscription is replaced.
const FILL: Duration = Duration::from_millis(100);

/// Nothing is on its way if nothing came for so long.
const QUIET: Duration = Duration::from_millis(20);

/// A consumer on RabbitMQ.
pub(super) struct RabbitConsumer {
    inner: Arc<Inner>,
    queue: Queue,
    prefetch: u16,
    stage: Stage,
    acker: Arc<RabbitAcker>,
    /// Received and not handed out yet; valid for the attached channel only.
    buffer: VecDeque<Received>,
    /// When to start over for want of deliveries.
    renewal: Instant,
    /// The queue was deleted: pause before it is declared again.
    cancelled: bool,
    stopped: bool,
}

/// A delivery without what the client library adds to it.
struct Received {
    number: u64,
    redelivered: bool,
    body: Bytes,
}

impl Received {
    fn named(self, tag: DeliveryTag) -> Delivery {
        Delivery {
            body: self.body,
            redelivered: self.redelivered,
            tag,
        }
    }
}

impl From<RawDelivery> for Received {
    fn from(delivery: RawDelivery) -> Self {
        Self {
            number: delivery.delivery_tag,
            redelivered: delivery.redelivered,
            body: Bytes::from(delivery.data),
        }
    }
}

/// A channel that consumes.
pub(super) struct Attached {
    live: Arc<Live>,
    channel: Arc<Channel>,
    stream: RawConsumer,
    /// Whether the stream goes on. One that has ended must not be waited for again: it says nothing
    /// more.
    subscribed: bool,
}

enum Stage {
    Detached,
    /// Kept between calls of `next`, so that a caller that gives up after a moment does not start
    /// it again.
    Attaching(BoxFuture<'static, Result<Attached, BrokerError>>),
    Attached(Attached),
}

impl RabbitConsumer {
    /// Attaches; gives up after a bounded time.
    pub(crate) async fn start(
        inner: Arc<Inner>,
        queue: Queue,
        prefetch: u16,
    ) -> Result<Self, BrokerError> {
        let prefetch = prefetch.max(1);
        let patience = inner.config.repair_wait + EXCHANGE_TIMEOUT;
        let attaching = attach(inner.clone(), queue.clone(), prefetch);
        let attached = tokio::time::timeout(patience, attaching)
            .await
            .map_err(|_| BrokerError::Unavailable("the queue cannot be consumed now".into()))??;
        let acker = Arc::new(RabbitAcker::default());
        acker.attach(attached.channel.clone());
        let stage = Stage::Attached(attached);
        let renewal = next_renewal(&inner.config);
        Ok(Self {
            inner,
            queue,
            prefetch,
            stage,
            acker,
            buffer: VecDeque::new(),
            renewal,
            cancelled: false,
            stopped: false,
        })
    }

    /// Lets go of the channel. What it owned comes again, so what waits in the buffer is dropped.
    fn detach(&mut self) {
        self.stage = Stage::Detached;
        self.buffer.clear();
        self.acker.detach();
        self.renewal = next_renewal(&self.inner.config);
    }

    /// Lets go of a channel that failed, or whose consumer the broker cancelled.
    fn lose(&mut self) {
        if let Stage::Attached(attached) = &self.stage {
            self.cancelled = attached.channel.status().connected();
        }
        tracing::info!(queue = ?self.queue, cancelled = self.cancelled, "lost the consumer; consuming again");
        self.detach();
    }

    fn hand_out(&mut self, max: usize) -> Vec<Delivery> {
        let count = self.buffer.len().min(max.max(1));
        let received: Vec<Received> = self.buffer.drain(..count).collect();
        let tags = self
            .acker
            .hand_out(received.iter().map(|delivery| delivery.number));
        let named = received.into_iter().zip(tags);
        named.map(|(delivery, tag)| delivery.named(tag)).collect()
    }

    /// Receives until nothing comes any more: the broker has no more to send, or may not before
    /// something is acknowledged. A quorum queue takes back what is on its way to a subscription
    /// that ends, and delivers it again as redelivered, as if somebody had died of it.
    async fn fill(&mut self) {
        let until = Instant::now() + FILL;
        while let Stage::Attached(attached) = &mut self.stage {
            let quiet = until.min(Instant::now() + QUIET);
            match tokio::time::timeout_at(quiet, attached.stream.next()).await {
                Ok(Some(Ok(delivery))) => self.buffer.push_back(delivery.into()),
                // A loss shows when the subscription is replaced.
                Ok(Some(Err(_)) | None) | Err(_) => return,
            }
        }
    }

    /// Ends the subscription but not the channel; what arrived until then is in the buffer.
    async fn cancel(&mut self) -> Result<(), BrokerError> {
        let Stage::Attached(attached) = &mut self.stage else {
            return Ok(());
        };
        // A change of the prefetch that was given up half-way may have ended it already.
        if !attached.subscribed {
            return Ok(());
        }
        let tag = attached.stream.tag();
        exchange(
            attached
                .channel
                .basic_cancel(tag, BasicCancelOptions::default()),
        )
        .await?;
        // The broker's answer comes after the last delivery, and ends the stream.
        while let Some(received) = attached.stream.next().await {
            let delivery = received.map_err(|error| unavailable(&error))?;
            self.buffer.push_back(delivery.into());
        }
        attached.subscribed = false;
        Ok(())
    }

    async fn consume_again(&mut self) -> Result<(), BrokerError> {
        self.cancel().await?;
        if let Stage::Attached(attached) = &mut self.stage {
            let name = short(names::queue_name(&self.inner.config.prefix, &self.queue))?;
            attached.stream = consume(&attached.channel, name, self.prefetch).await?;
            attached.subscribed = true;
        }
        Ok(())
    }
}

/// What one wait on the stream brought.
enum Arrival {
    Delivery(Received),
    Nothing,
    Lost,
    Closed,
}

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn next(&mut self, max: usize) -> Result<Vec<Delivery>, BrokerError> {
        // Deliveries are handed out without awaiting in between, so a dropped future loses none.
        loop {
            if self.stopped || self.inner.closed.is_cancelled() {
                return Err(BrokerError::Closed);
            }
            match &mut self.stage {
                Stage::Detached => {
                    self.acker.detach();
                    let pause = match std::mem::take(&mut self.cancelled) {
                        true => declare::PAUSE_BEFORE_REBIRTH,
                        false => Duration::ZERO,
                    };
                    let attaching = attach(self.inner.clone(), self.queue.clone(), self.prefetch);
                    self.stage = Stage::Attaching(attach_after(pause, attaching).boxed());
                }
                Stage::Attaching(attaching) => {
                    let attached = attaching.await;
                    self.stage = Stage::Detached;
                    let attached = attached?;
                    self.acker.attach(attached.channel.clone());
                    self.stage = Stage::Attached(attached);
                }
                Stage::Attached(attached) if !attached.channel.status().connected() => {
                    self.detach()
                }
                Stage::Attached(attached) => {
                    if self.buffer.is_empty() {
                        let arrival = tokio::select! {
                            biased;
                            received = attached.stream.next() => match received {
                                Some(Ok(delivery)) => Arrival::Delivery(delivery.into()),
                                Some(Err(_)) | None => Arrival::Lost,
                            },
                            () = self.inner.closed.cancelled() => Arrival::Closed,
                            () = tokio::time::sleep_until(self.renewal) => Arrival::Nothing,
                        };
                        match arrival {
                            Arrival::Delivery(delivery) => self.buffer.push_back(delivery),
                            Arrival::Lost => {
                                self.lose();
                                continue;
                            }
                            Arrival::Nothing => {
                                self.renewal = next_renewal(&self.inner.config);
                                if self.acker.unsettled() == 0 {
                                    self.detach();
                                }
                                continue;
                            }
                            Arrival::Closed => continue,
                        }
                    }
                    // Whatever else is there already; a loss shows at the next call.
                    while self.buffer.len() < max {
                        match attached.stream.next().now_or_never() {
                            Some(Some(Ok(delivery))) => self.buffer.push_back(delivery.into()),
                            Some(Some(Err(_)) | None) => {
                                self.lose();
                                break;
                            }
                            None => break,
                        }
                    }
                    if !self.buffer.is_empty() {
                        self.renewal = next_renewal(&self.inner.config);
                        return Ok(self.hand_out(max));
                    }
                }
            }
        }
    }

    fn acker(&self) -> Arc<dyn Acker> {
        self.acker.clone()
    }

    async fn set_prefetch(&mut self, prefetch: u16) -> Result<(), BrokerError> {
        let prefetch = prefetch.max(1);
        if self.prefetch == prefetch {
            return Ok(());
        }
        self.fill().await;
        self.prefetch = prefetch;
        if self.stopped || self.inner.closed.is_cancelled() {
            return Err(BrokerError::Closed);
        }
        if !matches!(self.stage, Stage::Attached(_)) {
            // An attempt that began with the old number is given up; the next one uses the new.
            self.stage = Stage::Detached;
            return Ok(());
        }
        // A consumer keeps the prefetch that it began with, so the subscription is replaced. The
        // channel stays, and with it the deliveries that are out and their tags. A channel that is
        // being lost may never answer.
        let live = match &self.stage {
            Stage::Attached(attached) => attached.live.clone(),
            Stage::Detached | Stage::Attaching(_) => return Ok(()),
        };
        let replaced = live.while_up(self.consume_again());
        match tokio::time::timeout(EXCHANGE_TIMEOUT, replaced).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => {
                tracing::info!(queue = ?self.queue, %error, "lost the consumer; consuming again");
            }
            Err(_) => {
                tracing::info!(queue = ?self.queue, "the broker did not answer a consumer in time; consuming again")
            }
        }
        self.detach();
        Ok(())
    }

    async fn stop(&mut self) {
        if self.stopped {
            return;
        }
        self.stopped = true;
        // A channel that is being lost may never answer.
        let cancelled = tokio::time::timeout(STOP, self.cancel()).await;
        if !matches!(cancelled, Ok(Ok(_))) {
            self.detach();
            return;
        }
        // What nobody has seen must not stay with a consumer that stopped.
        let unseen = self.buffer.drain(..).map(|delivery| delivery.number);
        let tags = self.acker.hand_out(unseen);
        self.acker.reject(&tags, true).await;
    }
}

impl Drop for RabbitConsumer {
    fn drop(&mut self) {
        // Ackers may live on; the channel must not, or its deliveries would stay out.
        self.detach();
    }
}

async fn attach_after(
    pause: Duration,
    attaching: impl Future<Output = Result<Attached, BrokerError>>,
) -> Result<Attached, BrokerError> {
    tokio::time::sleep(pause).await;
    attaching.await
}

/// How long the broker may take to end a subscription before its channel is given up instead.
const STOP: Duration = Duration::from_secs(2);

/// With jitter, so that the consumers of a quiet night do not start over in step.
fn next_renewal(config: &RabbitConfig) -> Instant {
    Instant::now() + config.idle_renewal.mul_f64(rand::random_range(1.0..2.0))
}

/// Attaches to the queue, trying until it works or the broker is closed.
async fn attach(inner: Arc<Inner>, queue: Queue, prefetch: u16) -> Result<Attached, BrokerError> {
    let attempt = || try_attach(&inner, &queue, prefetch);
    reattach::until_attached(&inner.closed, attempt, |error| {
        tracing::debug!(?queue, %error, "cannot consume a queue; trying again");
    })
    .await
}

async fn try_attach(inner: &Inner, queue: &Queue, prefetch: u16) -> Result<Attached, BrokerError> {
    let name = short(names::queue_name(&inner.config.prefix, queue))?;
    let live = inner.consuming.live(inner.config.repair_wait).await?;
    let attached = async {
        declare::declare(&live, &inner.config.prefix, queue).await?;
        let channel = exchange(live.connection().create_channel()).await?;
        let stream = consume(&channel, name, prefetch).await?;
        Ok((channel, stream))
    };
    let (channel, stream) = live.while_up(attached).await?;
    Ok(Attached {
        live: live.clone(),
        channel: Arc::new(channel),
        stream,
        subscribed: true,
    })
}

async fn consume(
    channel: &Channel,
    queue: lapin::types::ShortString,
    prefetch: u16,
) -> Result<RawConsumer, BrokerError> {
    // Per consumer: a prefetch for the whole channel does not exist on quorum queues.
    exchange(channel.basic_qos(prefetch, BasicQosOptions { global: false })).await?;
    let options = BasicConsumeOptions::default();
    exchange(channel.basic_consume(queue, "".into(), options, FieldTable::default())).await
}
