//! Transient broadcasts in memory: each subscriber has a bounded channel. When it is full, the
//! message is dropped for that subscriber alone, who learns of it by `Ok(None)`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::core::Core;
use super::lock::lock;
use crate::{BrokerError, Subscription, Topic};

/// How many messages a subscriber may be behind.
const CAPACITY: usize = 4096;

/// All subscribers of one broker.
#[derive(Debug, Default)]
pub(super) struct Topics {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next_id: u64,
    listeners: HashMap<u64, Listener>,
}

#[derive(Debug)]
struct Listener {
    topic: Topic,
    keys: Keys,
    sender: mpsc::Sender<Bytes>,
    lost: Arc<AtomicBool>,
}

impl Topics {
    pub(crate) fn broadcast(&self, topic: Topic, key: u8, body: &Bytes) {
        let state = lock(&self.state);
        for listener in state.listeners.values() {
            if listener.topic != topic || !(topic == Topic::Control || listener.keys.contains(key))
            {
                continue;
            }
            if listener.sender.try_send(body.clone()).is_err() {
                listener.lost.store(true, Ordering::Release);
            }
        }
    }
}

/// Registers a subscriber.
pub(super) fn subscribe(core: Arc<Core>, topic: Topic, keys: &[u8]) -> InProcessSubscription {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let lost = Arc::new(AtomicBool::new(false));
    let listener = Listener {
        topic,
        keys: Keys::new(keys),
        sender,
        lost: lost.clone(),
    };
    let id = {
        let mut state = lock(&core.topics.state);
        let id = state.next_id;
        state.next_id += 1;
        state.listeners.insert(id, listener);
        id
    };
    InProcessSubscription {
        core,
        id,
        receiver,
        lost,
    }
}

/// A listener of a topic in memory.
pub(super) struct InProcessSubscription {
    core: Arc<Core>,
    id: u64,
    receiver: mpsc::Receiver<Bytes>,
    lost: Arc<AtomicBool>,
}

#[async_trait]
impl Subscription for InProcessSubscription {
    async fn next(&mut self) -> Result<Option<Bytes>, BrokerError> {
        if self.lost.swap(false, Ordering::AcqRel) {
            return Ok(None);
        }
        tokio::select! {
            biased;
            () = self.core.closed.cancelled() => Err(BrokerError::Closed),
            received = self.receiver.recv() => received.map(Some).ok_or(BrokerError::Closed),
        }
    }

    async fn set_keys(&mut self, keys: &[u8]) -> Result<(), BrokerError> {
        let mut state = lock(&self.core.topics.state);
        if let Some(listener) = state.listeners.get_mut(&self.id) {
            listener.keys = Keys::new(keys);
        }
        Ok(())
    }
}

impl Drop for InProcessSubscription {
    fn drop(&mut self) {
        lock(&self.core.topics.state).listeners.remove(&self.id);
    }
}

/// A set of keys: one bit each.
#[derive(Debug, Default)]
struct Keys([u64; 4]);

impl Keys {
    fn new(keys: &[u8]) -> Self {
        let mut bits = [0; 4];
        for key in keys {
            bits[usize::from(key / 64)] |= 1 << (key % 64);
        }
        Self(bits)
    }

    fn contains(&self, key: u8) -> bool {
        self.0[usize::from(key / 64)] & (1 << (key % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hold_exactly_what_was_given() {
        let keys = Keys::new(&[0, 63, 64, 255]);
        let held: Vec<u8> = (0..=255).filter(|key| keys.contains(*key)).collect();
        assert_eq!(held, [0, 63, 64, 255]);
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_that_it_lost_messages() {
        let core = Arc::new(Core::default());
        let mut slow = subscribe(core.clone(), Topic::Control, &[]);
        for _ in 0..=CAPACITY {
            core.topics
                .broadcast(Topic::Control, 0, &Bytes::from_static(b"x"));
        }
        assert_eq!(slow.next().await, Ok(None));
        for _ in 0..CAPACITY {
            assert_eq!(slow.next().await, Ok(Some(Bytes::from_static(b"x"))));
        }
        core.topics
            .broadcast(Topic::Control, 0, &Bytes::from_static(b"y"));
        assert_eq!(slow.next().await, Ok(Some(Bytes::from_static(b"y"))));
    }
}
