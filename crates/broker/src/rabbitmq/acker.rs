//! The handle that acknowledges a consumer's deliveries, and owns the consumer's channel with it:
//! while nobody detaches it, unacknowledged deliveries stay owned.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions};

use super::outstanding::{Outstanding, Settlement};
use crate::{Acker, DeliveryTag};

/// Acknowledges on whichever channel the consumer has now.
#[derive(Debug, Default)]
pub(super) struct RabbitAcker {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    generation: u64,
    channel: Option<Arc<Channel>>,
    outstanding: Outstanding,
}

#[derive(Debug, Clone, Copy)]
enum Verdict {
    Ack,
    Nack { requeue: bool },
}

type Sending = Pin<Box<dyn Future<Output = lapin::Result<()>> + Send>>;

impl RabbitAcker {
    /// Begins a generation on a new channel.
    pub(crate) fn attach(&self, channel: Arc<Channel>) {
        let mut state = self.lock();
        state.generation += 1;
        state.outstanding.clear();
        state.channel = Some(channel);
    }

    /// Ends the generation: its tags count for nothing from now on.
    pub(crate) fn detach(&self) {
        let mut state = self.lock();
        state.outstanding.clear();
        state.channel = None;
    }

    /// Notes deliveries that are handed out now, and names them.
    pub(crate) fn hand_out(&self, numbers: impl Iterator<Item = u64>) -> Vec<DeliveryTag> {
        let mut state = self.lock();
        let generation = state.generation;
        let mut note = |number| {
            state.outstanding.add(number);
            DeliveryTag { generation, number }
        };
        numbers.map(&mut note).collect()
    }

    /// How many deliveries are handed out and not settled.
    pub(crate) fn unsettled(&self) -> usize {
        self.lock().outstanding.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn settle(&self, tags: &[DeliveryTag], verdict: Verdict) {
        let last = {
            let mut state = self.lock();
            let generation = state.generation;
            let Some(channel) = state.channel.clone() else {
                return;
            };
            let current = tags.iter().filter(|tag| tag.generation == generation);
            let settlements = state.outstanding.settle(current.map(|tag| tag.number));
            // Queued for sending under the lock: out of order, a settlement could name a tag that a
            // later "multiple" has settled already, over which the broker closes the channel.
            let mut last = None;
            for settlement in settlements {
                last = start(&channel, settlement, verdict);
            }
            last
        };
        // They leave in order, so the last one's departure is everyone's; waiting for it is what
        // slows down a caller that is faster than the socket.
        if let Some(sending) = last
            && let Err(error) = sending.await
        {
            tracing::debug!(%error, "cannot send an acknowledgement; its messages are delivered again");
        }
    }
}

/// Queues one settlement for sending, which the client library does when the future is first
/// polled.
fn start(channel: &Arc<Channel>, settlement: Settlement, verdict: Verdict) -> Option<Sending> {
    let channel = channel.clone();
    let Settlement { tag, multiple } = settlement;
    let mut sending: Sending = match verdict {
        Verdict::Ack => {
            Box::pin(async move { channel.basic_ack(tag, BasicAckOptions { multiple }).await })
        }
        Verdict::Nack { requeue } => Box::pin(async move {
            channel
                .basic_nack(tag, BasicNackOptions { multiple, requeue })
                .await
        }),
    };
    match sending
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Pending => Some(sending),
        Poll::Ready(Ok(())) => None,
        Poll::Ready(Err(error)) => {
            tracing::debug!(%error, "cannot send an acknowledgement; its messages are delivered again");
            None
        }
    }
}

#[async_trait]
impl Acker for RabbitAcker {
    async fn ack(&self, tags: &[DeliveryTag]) {
        self.settle(tags, Verdict::Ack).await;
    }

    async fn reject(&self, tags: &[DeliveryTag], requeue: bool) {
        self.settle(tags, Verdict::Nack { requeue }).await;
    }
}
