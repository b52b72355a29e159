//! One queue in memory: ready messages, who waits for them, bounds and the delivery limit.
//!
//! What does not live here: deliveries in the hands of consumers (see [`super::consumer`]).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Notify;

use super::lock::lock;
use crate::names::{self, QueueArguments};
use crate::{BrokerError, Depth, Queue};

/// A message in a queue or in a consumer's hands.
#[derive(Debug)]
pub(super) struct Message {
    /// The encoded message.
    pub body: Bytes,
    /// How often it came back to the queue.
    pub returns: u32,
}

/// What came of publishing.
pub(super) enum Push {
    /// One result a message, in order.
    Done(Vec<Result<(), BrokerError>>),
    /// The queue was deleted since it was looked up; here are the bodies back.
    Deleted(Vec<Bytes>),
}

/// What came of taking.
pub(super) enum Take {
    /// At least one message.
    Some(Vec<Message>),
    /// Nothing is ready.
    Empty,
    /// The queue was deleted.
    Deleted,
}

/// The bytes of ready messages of all pipes of one broker, and how many they may be. A pipe may
/// have as many as are still free, so a full one always leaves room for the others (dynamic
/// thresholds: Choudhury and Hahne, 1998).
#[derive(Debug)]
pub(super) struct PipeMemory {
    used: AtomicU64,
    most: u64,
}

impl PipeMemory {
    pub(crate) fn new(most: u64) -> Self {
        Self {
            used: AtomicU64::new(0),
            most,
        }
    }

    /// How many bytes are left for each pipe.
    fn free(&self) -> u64 {
        self.most.saturating_sub(self.used.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
pub(super) struct QueueCore {
    queue: Queue,
    arguments: QueueArguments,
    /// What it shares with other pipes, if it is one.
    memory: Option<Arc<PipeMemory>>,
    state: Mutex<State>,
    /// Wakes consumers that found the queue empty, one for each message at most.
    arrivals: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Message>,
    ready_bytes: u64,
    consumers: u64,
    /// Consumers that wait on `arrivals` now, or were woken and have not looked yet.
    waiting: usize,
    deleted: bool,
}

impl QueueCore {
    pub(crate) fn new(queue: &Queue, memory: &Arc<PipeMemory>) -> Self {
        let is_pipe = matches!(queue, Queue::Pipe(_));
        Self {
            queue: queue.clone(),
            arguments: names::queue_arguments(queue),
            memory: is_pipe.then(|| memory.clone()),
            state: Mutex::default(),
            arrivals: Notify::new(),
        }
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(crate) fn arguments(&self) -> &QueueArguments {
        &self.arguments
    }

    /// Appends messages as far as the bounds allow.
    pub(crate) fn push(&self, bodies: Vec<Bytes>) -> Push {
        let mut accepted = 0;
        let mut results = Vec::with_capacity(bodies.len());
        let wake = {
            let mut state = lock(&self.state);
            if state.deleted {
                return Push::Deleted(bodies);
            }
            for body in bodies {
                if body.len() > names::MAX_MESSAGE_BYTES {
                    results.push(Err(BrokerError::TooLarge(body.len())));
                    continue;
                }
                let bytes = byte_count(&body);
                let free = self
                    .memory
                    .as_ref()
                    .map_or(u64::MAX, |memory| memory.free());
                let most = self.arguments.max_bytes.min(free);
                let full = as_u64(state.ready.len()) >= self.arguments.max_messages
                    || state.ready_bytes.saturating_add(bytes) > most;
                if full {
                    results.push(Err(BrokerError::Refused(format!(
                        "queue {:?} is full",
                        self.queue
                    ))));
                    continue;
                }
                self.grow(&mut state, bytes);
                state.ready.push_back(Message { body, returns: 0 });
                accepted += 1;
                results.push(Ok(()));
            }
            state.waiting.min(accepted)
        };
        self.wake(wake);
        Push::Done(results)
    }

    /// Appends dead letters whatever the bounds; gives them back if the queue was deleted.
    pub(crate) fn push_unbounded(&self, bodies: Vec<Bytes>) -> Option<Vec<Bytes>> {
        let wake = {
            let mut state = lock(&self.state);
            if state.deleted {
                return Some(bodies);
            }
            let wake = state.waiting.min(bodies.len());
            for body in bodies {
                self.grow(&mut state, byte_count(&body));
                state.ready.push_back(Message { body, returns: 0 });
            }
            wake
        };
        self.wake(wake);
        None
    }

    /// Takes up to `limit` messages, and no more than an even share while other consumers wait too,
    /// so that one with a large prefetch does not leave the others idle.
    pub(crate) fn take(&self, limit: usize) -> Take {
        self.take_from(&mut lock(&self.state), limit)
    }

    fn take_from(&self, state: &mut State, limit: usize) -> Take {
        let before = state.ready_bytes;
        let taken = take(state, limit);
        self.forget(before - state.ready_bytes);
        taken
    }

    fn grow(&self, state: &mut State, bytes: u64) {
        state.ready_bytes += bytes;
        if let Some(memory) = &self.memory {
            memory.used.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn shrink(&self, state: &mut State, bytes: u64) {
        state.ready_bytes = state.ready_bytes.saturating_sub(bytes);
        self.forget(bytes);
    }

    fn forget(&self, bytes: u64) {
        if let Some(memory) = &self.memory {
            memory.used.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Takes, or registers the caller as waiting under the same lock, so that a message that
    /// arrives in between wakes it. The guard ends the registration.
    pub(crate) fn take_or_wait(&self, limit: usize) -> Result<Take, Waiting<'_>> {
        let mut state = lock(&self.state);
        match self.take_from(&mut state, limit) {
            Take::Empty => {
                state.waiting += 1;
                Err(Waiting {
                    queue: self,
                    registered: true,
                })
            }
            taken => Ok(taken),
        }
    }

    /// Notified when messages arrive or the queue is deleted.
    pub(crate) fn arrivals(&self) -> &Notify {
        &self.arrivals
    }

    /// Puts messages back at the front, in the order in which they were delivered. Returns the
    /// bodies that the delivery limit gives up.
    pub(crate) fn give_back(&self, messages: Vec<Message>) -> Vec<Bytes> {
        let mut given_up = Vec::new();
        let wake = {
            let mut state = lock(&self.state);
            if state.deleted {
                return given_up;
            }
            let before = state.ready.len();
            for mut message in messages.into_iter().rev() {
                message.returns = message.returns.saturating_add(1);
                if message.returns > self.arguments.delivery_limit {
                    given_up.push(message.body);
                    continue;
                }
                self.grow(&mut state, byte_count(&message.body));
                state.ready.push_front(message);
            }
            state.waiting.min(state.ready.len() - before)
        };
        self.wake(wake);
        given_up.reverse();
        given_up
    }

    /// Counts a consumer in (`true`) or out.
    pub(crate) fn count_consumer(&self, attached: bool) {
        let mut state = lock(&self.state);
        state.consumers = if attached {
            state.consumers + 1
        } else {
            state.consumers.saturating_sub(1)
        };
    }

    pub(crate) fn depth(&self) -> Depth {
        let state = lock(&self.state);
        Depth {
            ready: as_u64(state.ready.len()),
            consumers: state.consumers,
        }
    }

    pub(crate) fn purge(&self) {
        let dropped = {
            let mut state = lock(&self.state);
            let bytes = state.ready_bytes;
            self.shrink(&mut state, bytes);
            std::mem::take(&mut state.ready)
        };
        // A long queue is freed outside the lock.
        drop(dropped);
    }

    /// Marks the queue as gone: consumers attach to its successor, publishers look it up again.
    pub(crate) fn delete(&self) {
        lock(&self.state).deleted = true;
        self.purge();
        self.arrivals.notify_waiters();
    }

    fn wake(&self, consumers: usize) {
        for _ in 0..consumers {
            self.arrivals.notify_one();
        }
    }
}

/// A consumer's registration as waiting.
pub(super) struct Waiting<'a> {
    queue: &'a QueueCore,
    registered: bool,
}

impl Waiting<'_> {
    /// Ends the registration and takes, under one lock: whoever takes in between would count this
    /// consumer as neither waiting nor served, and take its share.
    pub(crate) fn take(mut self, limit: usize) -> Take {
        let mut state = lock(&self.queue.state);
        state.waiting = state.waiting.saturating_sub(1);
        self.registered = false;
        self.queue.take_from(&mut state, limit)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.registered {
            return;
        }
        let mut state = lock(&self.queue.state);
        state.waiting = state.waiting.saturating_sub(1);
    }
}

fn take(state: &mut State, limit: usize) -> Take {
    if state.deleted {
        return Take::Deleted;
    }
    if state.ready.is_empty() {
        return Take::Empty;
    }
    let share = state.ready.len().div_ceil(state.waiting + 1);
    let taken: Vec<Message> = state.ready.drain(..limit.min(share)).collect();
    let bytes: u64 = taken.iter().map(|message| byte_count(&message.body)).sum();
    state.ready_bytes = state.ready_bytes.saturating_sub(bytes);
    Take::Some(taken)
}

fn byte_count(body: &Bytes) -> u64 {
    as_u64(body.len())
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
