//! The items that wait for a free slot. The coordinator puts them in and may take them back;
//! the runner takes them out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::envelope::Envelope;
use crate::ledger::Key;

/// An item to run.
#[derive(Debug)]
pub struct Work {
    /// Its delivery in the ledger.
    pub key: Key,
    /// Its message.
    pub envelope: Arc<Envelope>,
    /// Its place in the message.
    pub position: usize,
}

#[derive(Debug, Default)]
struct Inner {
    ready: VecDeque<Work>,
    /// Items whose start is on record. They go first, also while the gate is shut: what is on
    /// record as started must not wait.
    announced: VecDeque<Work>,
    /// The item that runs alone, although the gate is shut.
    alone: Option<Work>,
    /// Shut while an item has to run alone.
    shut: bool,
    longest_wait: Duration,
}

/// Items that wait for a slot. Bounded by what the prefetch lets in.
#[derive(Debug, Default)]
pub struct RunQueue {
    inner: Mutex<Inner>,
    arrivals: Notify,
}

impl RunQueue {
    /// Adds items at the end.
    pub(crate) fn push(&self, works: impl IntoIterator<Item = Work>) {
        let mut inner = self.lock();
        inner.ready.extend(works);
        drop(inner);
        self.arrivals.notify_one();
    }

    /// Adds items whose start is on record.
    pub(crate) fn push_announced(&self, works: impl IntoIterator<Item = Work>) {
        self.lock().announced.extend(works);
        self.arrivals.notify_one();
    }

    /// Items that wait although their start is on record.
    pub(crate) fn announced(&self) -> usize {
        let inner = self.lock();
        inner.announced.len() + usize::from(inner.alone.is_some())
    }

    /// Adds the item that runs alone.
    pub(crate) fn push_alone(&self, work: Work) {
        self.lock().alone = Some(work);
        self.arrivals.notify_one();
    }

    /// Lets nothing start but what was announced, or everything again.
    pub(crate) fn shut(&self, shut: bool) {
        let mut inner = self.lock();
        if inner.shut == shut {
            return;
        }
        inner.shut = shut;
        drop(inner);
        self.arrivals.notify_one();
    }

    /// Items that wait.
    pub(crate) fn len(&self) -> usize {
        let inner = self.lock();
        inner.ready.len() + inner.announced.len() + usize::from(inner.alone.is_some())
    }

    /// Takes up to `max` items to start them now.
    pub fn take(&self, max: usize, now: Instant, into: &mut Vec<Work>) {
        let mut inner = self.lock();
        if let Some(alone) = inner.alone.take() {
            into.push(alone);
            return;
        }
        let announced = max.min(inner.announced.len());
        into.extend(inner.announced.drain(..announced));
        let mut more = !inner.announced.is_empty();
        if !inner.shut && !inner.ready.is_empty() {
            let count = (max - announced).min(inner.ready.len());
            if let Some(first) = inner.ready.front() {
                let waited = now.saturating_duration_since(first.envelope.received);
                inner.longest_wait = inner.longest_wait.max(waited);
            }
            into.extend(inner.ready.drain(..count));
            more |= !inner.ready.is_empty();
        }
        drop(inner);
        if more {
            // One wake-up for many items: each task of the runner that leaves some wakes the next.
            self.arrivals.notify_one();
        }
    }

    /// Takes back the items that did not start and that `wanted` picks.
    pub(crate) fn extract(&self, mut wanted: impl FnMut(&Work) -> bool) -> Vec<Work> {
        let mut inner = self.lock();
        let mut extracted: Vec<Work> = inner
            .alone
            .take_if(|work| wanted(work))
            .into_iter()
            .collect();
        let Inner {
            ready, announced, ..
        } = &mut *inner;
        for queue in [announced, ready] {
            let (taken, kept): (Vec<_>, _) = std::mem::take(queue)
                .into_iter()
                .partition(|work| wanted(work));
            extracted.extend(taken);
            *queue = VecDeque::from(kept);
        }
        extracted
    }

    /// The longest that an item waited since the last call, or waits now.
    pub(crate) fn take_longest_wait(&self, now: Instant) -> Duration {
        let mut inner = self.lock();
        let waited = std::mem::take(&mut inner.longest_wait);
        let front = inner
            .ready
            .front()
            .map(|work| now.saturating_duration_since(work.envelope.received));
        waited.max(front.unwrap_or_default())
    }

    /// Waits for something that may be taken. May wake for nothing.
    pub async fn arrived(&self) {
        self.arrivals.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
