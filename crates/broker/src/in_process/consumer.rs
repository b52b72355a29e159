//! A consumer of a queue in memory and the handle that acknowledges its deliveries.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::coop::consume_budget;

use super::core::Core;
use super::lock::lock;
use super::queue::{Message, QueueCore, Take};
use super::unacked::Unacked;
use crate::{Acker, BrokerError, Consumer, Delivery, DeliveryTag, Queue};

/// A consumer in memory.
pub(super) struct InProcessConsumer {
    queue: Queue,
    shared: Arc<Shared>,
    stopped: bool,
}

/// What the consumer shares with its acker.
struct Shared {
    core: Arc<Core>,
    held: Mutex<Held>,
    /// Notified when a full prefetch has room again. Only the consumer waits on it.
    room: Notify,
}

struct Held {
    source: Arc<QueueCore>,
    /// Rises when the queue was deleted and when the consumer ends, so that older tags count for
    /// nothing.
    generation: u64,
    prefetch: usize,
    unacked: Unacked,
}

impl InProcessConsumer {
    pub(crate) fn attach(core: Arc<Core>, queue: &Queue, prefetch: u16) -> Self {
        let source = core.queue(queue);
        source.count_consumer(true);
        let held = Held {
            source,
            generation: 1,
            prefetch: usize::from(prefetch.max(1)),
            unacked: Unacked::default(),
        };
        let shared = Arc::new(Shared {
            core,
            held: Mutex::new(held),
            room: Notify::new(),
        });
        Self {
            queue: queue.clone(),
            shared,
            stopped: false,
        }
    }

    /// The queue was deleted: what is held went with it, and a new queue of that name takes its
    /// place.
    fn attach_again(&self) {
        let source = self.shared.core.queue(&self.queue);
        source.count_consumer(true);
        let dropped = {
            let mut held = lock(&self.shared.held);
            held.source = source;
            held.generation += 1;
            std::mem::take(&mut held.unacked)
        };
        drop(dropped);
    }

    fn source_and_room(&self) -> (Arc<QueueCore>, usize) {
        let held = lock(&self.shared.held);
        (
            held.source.clone(),
            held.prefetch.saturating_sub(held.unacked.len()),
        )
    }

    fn hold(&self, messages: Vec<Message>) -> Vec<Delivery> {
        let mut held = lock(&self.shared.held);
        let generation = held.generation;
        let hold = |message: Message| Delivery {
            body: message.body.clone(),
            redelivered: message.returns > 0,
            tag: DeliveryTag {
                generation,
                number: held.unacked.insert(message),
            },
        };
        messages.into_iter().map(hold).collect()
    }
}

#[async_trait]
impl Consumer for InProcessConsumer {
    async fn next(&mut self, max: usize) -> Result<Vec<Delivery>, BrokerError> {
        // Otherwise a consumer of a queue that is never empty would never let others run.
        consume_budget().await;
        // From taking messages to handing them out nothing awaits, so a dropped future loses none.
        loop {
            if self.stopped || self.shared.core.closed.is_cancelled() {
                return Err(BrokerError::Closed);
            }
            let (source, room) = self.source_and_room();
            if room == 0 {
                tokio::select! {
                    () = self.shared.room.notified() => continue,
                    () = self.shared.core.closed.cancelled() => continue,
                }
            }
            let limit = max.clamp(1, room);
            match source.take(limit) {
                Take::Some(messages) => return Ok(self.hold(messages)),
                Take::Deleted => {
                    self.attach_again();
                    continue;
                }
                Take::Empty => {}
            }
            let mut arrival = std::pin::pin!(source.arrivals().notified());
            arrival.as_mut().enable();
            let waiting = match source.take_or_wait(limit) {
                Ok(Take::Some(messages)) => return Ok(self.hold(messages)),
                Ok(Take::Empty | Take::Deleted) => continue,
                Err(waiting) => waiting,
            };
            tokio::select! {
                () = arrival => {}
                () = self.shared.core.closed.cancelled() => continue,
            }
            if let Take::Some(messages) = waiting.take(limit) {
                return Ok(self.hold(messages));
            }
        }
    }

    fn acker(&self) -> Arc<dyn Acker> {
        self.shared.clone()
    }

    async fn set_prefetch(&mut self, prefetch: u16) -> Result<(), BrokerError> {
        lock(&self.shared.held).prefetch = usize::from(prefetch.max(1));
        Ok(())
    }

    async fn stop(&mut self) {
        if !self.stopped {
            self.stopped = true;
            lock(&self.shared.held).source.count_consumer(false);
        }
    }
}

impl Drop for InProcessConsumer {
    fn drop(&mut self) {
        let (source, messages) = {
            let mut held = lock(&self.shared.held);
            held.generation += 1;
            (held.source.clone(), held.unacked.drain())
        };
        if !self.stopped {
            source.count_consumer(false);
        }
        self.shared.give_back(&source, messages);
    }
}

impl Shared {
    /// Takes the deliveries behind the tags out of the consumer's hands.
    fn release(&self, tags: &[DeliveryTag]) -> (Arc<QueueCore>, Vec<Message>) {
        let mut held = lock(&self.held);
        let was_full = held.unacked.len() >= held.prefetch;
        let generation = held.generation;
        let current = tags.iter().filter(|tag| tag.generation == generation);
        let released = current
            .filter_map(|tag| held.unacked.remove(tag.number))
            .collect();
        let has_room = held.unacked.len() < held.prefetch;
        let source = held.source.clone();
        drop(held);
        if was_full && has_room {
            self.room.notify_one();
        }
        (source, released)
    }

    fn give_back(&self, source: &QueueCore, messages: Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        let given_up = source.give_back(messages);
        if !given_up.is_empty() {
            self.core.dead_letter(source, given_up);
        }
    }
}

#[async_trait]
impl Acker for Shared {
    async fn ack(&self, tags: &[DeliveryTag]) {
        self.release(tags);
    }

    async fn reject(&self, tags: &[DeliveryTag], requeue: bool) {
        let mut ordered = tags.to_vec();
        ordered.sort_unstable();
        let (source, messages) = self.release(&ordered);
        if requeue {
            self.give_back(&source, messages);
        } else if !messages.is_empty() {
            self.core.dead_letter(
                &source,
                messages.into_iter().map(|message| message.body).collect(),
            );
        }
    }
}
