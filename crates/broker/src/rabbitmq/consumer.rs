//! A consumer that attaches itself again after every loss: declare, set the prefetch, consume. A
//! cancelled consumer (its queue was deleted, or lost its leader) counts as a loss too.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use lapin::message::Delivery as RawDelivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer as RawConsumer};

use super::acker::RabbitAcker;
use super::backoff::Backoff;
use super::failure::exchange;
use super::link::short;
use super::{Inner, declare};
use crate::{Acker, BrokerError, Consumer, Delivery, DeliveryTag, Queue, names};

/// A consumer on RabbitMQ.
pub(super) struct RabbitConsumer {
    inner: Arc<Inner>,
    queue: Queue,
    prefetch: u16,
    stage: Stage,
    acker: Arc<RabbitAcker>,
    /// Received and not handed out yet; valid for the attached channel only.
    buffer: VecDeque<RawDelivery>,
    stopped: bool,
}

/// A channel that consumes.
pub(super) struct Attached {
    channel: Arc<Channel>,
    stream: RawConsumer,
}

enum Stage {
    Detached,
    /// Kept between calls of `next`, so that a caller that gives up after a moment does not start it anew.
    Attaching(BoxFuture<'static, Result<Attached, BrokerError>>),
    Attached(Attached),
}

impl RabbitConsumer {
    /// Attaches; gives up after a bounded time.
    pub async fn start(
        inner: Arc<Inner>,
        queue: Queue,
        prefetch: u16,
    ) -> Result<Self, BrokerError> {
        let prefetch = prefetch.max(1);
        let patience = inner.config.repair_wait + super::failure::EXCHANGE_TIMEOUT;
        let attaching = attach(inner.clone(), queue.clone(), prefetch);
        let attached = tokio::time::timeout(patience, attaching)
            .await
            .map_err(|_| BrokerError::Unavailable("the queue cannot be consumed now".into()))??;
        let acker = Arc::new(RabbitAcker::default());
        acker.attach(attached.channel.clone());
        let stage = Stage::Attached(attached);
        Ok(Self {
            inner,
            queue,
            prefetch,
            stage,
            acker,
            buffer: VecDeque::new(),
            stopped: false,
        })
    }

    /// Lets go of the channel. What it owned comes again, so what waits in the buffer is dropped.
    fn detach(&mut self) {
        self.stage = Stage::Detached;
        self.buffer.clear();
        self.acker.detach();
    }

    fn hand_out(&mut self, max: usize) -> Vec<Delivery> {
        let count = self.buffer.len().min(max.max(1));
        let raw: Vec<RawDelivery> = self.buffer.drain(..count).collect();
        let tags = self
            .acker
            .hand_out(raw.iter().map(|delivery| delivery.delivery_tag));
        let named = raw.into_iter().zip(tags);
        named
            .map(|(delivery, tag)| deliver(delivery, tag))
            .collect()
    }

    /// Ends the subscription but not the channel; what arrived until then is in the buffer.
    async fn cancel(&mut self) -> Result<(), BrokerError> {
        let Stage::Attached(attached) = &mut self.stage else {
            return Ok(());
        };
        let tag = attached.stream.tag();
        exchange(
            attached
                .channel
                .basic_cancel(tag, BasicCancelOptions::default()),
        )
        .await?;
        // The broker's answer comes after the last delivery, and ends the stream.
        while let Some(received) = attached.stream.next().await {
            self.buffer
                .push_back(received.map_err(|error| super::failure::unavailable(&error))?);
        }
        Ok(())
    }

    async fn consume_again(&mut self) -> Result<(), BrokerError> {
        self.cancel().await?;
        if let Stage::Attached(attached) = &mut self.stage {
            let name = short(names::queue_name(&self.inner.config.prefix, &self.queue))?;
            attached.stream = consume(&attached.channel, name, self.prefetch).await?;
        }
        Ok(())
    }
}

/// What one wait on the stream brought.
enum Arrival {
    Delivery(RawDelivery),
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
                    let attaching = attach(self.inner.clone(), self.queue.clone(), self.prefetch);
                    self.stage = Stage::Attaching(attaching.boxed());
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
                                Some(Ok(delivery)) => Arrival::Delivery(delivery),
                                Some(Err(_)) | None => Arrival::Lost,
                            },
                            () = self.inner.closed.cancelled() => Arrival::Closed,
                        };
                        match arrival {
                            Arrival::Delivery(delivery) => self.buffer.push_back(delivery),
                            Arrival::Lost => {
                                tracing::info!(queue = ?self.queue, "the consumer was lost");
                                self.detach();
                                continue;
                            }
                            Arrival::Closed => continue,
                        }
                    }
                    // Whatever else is there already; a loss shows at the next call.
                    while self.buffer.len() < max {
                        match attached.stream.next().now_or_never() {
                            Some(Some(Ok(delivery))) => self.buffer.push_back(delivery),
                            Some(Some(Err(_)) | None) => {
                                self.detach();
                                break;
                            }
                            None => break,
                        }
                    }
                    if !self.buffer.is_empty() {
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
        self.prefetch = prefetch;
        if self.stopped || self.inner.closed.is_cancelled() {
            return Err(BrokerError::Closed);
        }
        if !matches!(self.stage, Stage::Attached(_)) {
            // An attempt that began with the old number is given up; the next one uses the new.
            self.stage = Stage::Detached;
            return Ok(());
        }
        // A consumer keeps the prefetch that it began with, so the subscription is replaced. The channel
        // stays, and with it the deliveries that are out and their tags.
        if let Err(error) = self.consume_again().await {
            tracing::info!(queue = ?self.queue, %error, "the consumer was lost");
            self.detach();
        }
        Ok(())
    }

    async fn stop(&mut self) {
        if self.stopped {
            return;
        }
        self.stopped = true;
        if self.cancel().await.is_err() {
            self.detach();
            return;
        }
        // What nobody has seen must not stay with a consumer that stopped.
        let unseen = self.buffer.drain(..).map(|delivery| delivery.delivery_tag);
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

/// Attaches to the queue, trying until it works or the broker is closed.
async fn attach(inner: Arc<Inner>, queue: Queue, prefetch: u16) -> Result<Attached, BrokerError> {
    let mut backoff = Backoff::default();
    loop {
        match try_attach(&inner, &queue, prefetch).await {
            Ok(attached) => return Ok(attached),
            // A name or a bound that the broker never accepts.
            Err(error @ (BrokerError::Closed | BrokerError::Refused(_))) => return Err(error),
            Err(error) => {
                tracing::debug!(?queue, %error, "cannot consume the queue yet");
                tokio::select! {
                    () = inner.closed.cancelled() => return Err(BrokerError::Closed),
                    () = tokio::time::sleep(backoff.pause()) => {}
                }
            }
        }
    }
}

async fn try_attach(inner: &Inner, queue: &Queue, prefetch: u16) -> Result<Attached, BrokerError> {
    let name = short(names::queue_name(&inner.config.prefix, queue))?;
    let live = inner.consuming.live(inner.config.repair_wait).await?;
    declare::declare(&live, &inner.config.prefix, queue).await?;
    let channel = exchange(live.connection().create_channel()).await?;
    let stream = consume(&channel, name, prefetch).await?;
    Ok(Attached {
        channel: Arc::new(channel),
        stream,
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

fn deliver(delivery: RawDelivery, tag: DeliveryTag) -> Delivery {
    Delivery {
        body: Bytes::from(delivery.data),
        redelivered: delivery.redelivered,
        tag,
    }
}
