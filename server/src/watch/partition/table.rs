//! Which partitions are watched. The hub's task, the poller and the watchers share it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use headway_domain::PartitionId;
use headway_store::Change;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::feed::PartitionFeed;
use crate::grpc::status::ApiError;

/// The handle by which calls watch partitions. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Partitions {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    /// Notified when the first watcher of a partition comes.
    wake: Notify,
    /// Notified when the hub listens to the changes of one more partition.
    heard: Notify,
    /// Notified when messages about changes may have been lost.
    doubted: Notify,
    /// The most watchers.
    most: usize,
}

#[derive(Debug, Default)]
struct Table {
    feeds: HashMap<PartitionId, Slot>,
    watchers: usize,
    /// Partitions whose changes the hub does not listen to yet.
    fresh: Vec<Started>,
    /// Partitions that wait for their task.
    heard: Vec<Started>,
}

#[derive(Debug)]
struct Slot {
    feed: Arc<PartitionFeed>,
    watchers: usize,
    stop: CancellationToken,
}

/// A partition that began to be watched, and the token that is cancelled when nobody watches it any
/// more.
#[derive(Debug)]
pub(crate) struct Started {
    pub(super) feed: Arc<PartitionFeed>,
    pub(super) stop: CancellationToken,
}

impl Partitions {
    /// A table for at most this many watchers.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                table: Mutex::default(),
                wake: Notify::new(),
                heard: Notify::new(),
                doubted: Notify::new(),
                most,
            }),
        }
    }

    /// Watches a partition.
    ///
    /// # Errors
    /// [`ApiError::TooManyWatches`].
    pub(crate) fn watch(&self, partition: &PartitionId) -> Result<WatchedPartition, ApiError> {
        let mut guard = self.lock();
        let table = &mut *guard;
        if table.watchers >= self.shared.most {
            return Err(ApiError::TooManyWatches(self.shared.most));
        }
        table.watchers += 1;
        let slot = table.feeds.entry(partition.clone()).or_insert_with(|| {
            let feed = Arc::new(PartitionFeed::new(partition.clone()));
            let stop = CancellationToken::new();
            table.fresh.push(Started {
                feed: Arc::clone(&feed),
                stop: stop.clone(),
            });
            self.shared.wake.notify_one();
            Slot {
                feed,
                watchers: 0,
                stop,
            }
        });
        slot.watchers += 1;
        Ok(WatchedPartition {
            news: slot.feed.news(),
            feed: Arc::clone(&slot.feed),
            partitions: self.clone(),
        })
    }

    /// Waits until a partition gains its first watcher. Cancel-safe: it misses none.
    pub(in crate::watch) async fn gained(&self) {
        self.shared.wake.notified().await;
    }

    /// Takes the partitions that are watched but not listened to.
    pub(in crate::watch) fn take_fresh(&self) -> Vec<Started> {
        std::mem::take(&mut self.lock().fresh)
    }

    /// Hands partitions to the poller: the hub listens to their changes from now on.
    pub(in crate::watch) fn listened(&self, fresh: Vec<Started>) {
        self.lock().heard.extend(fresh);
        self.shared.heard.notify_one();
    }

    /// Whether any partition is watched.
    pub(in crate::watch) fn any(&self) -> bool {
        !self.lock().feeds.is_empty()
    }

    /// Records that a job changed, if its partition is watched.
    pub(in crate::watch) fn note(&self, change: &Change) {
        if let Some(slot) = self.lock().feeds.get(&change.partition) {
            slot.feed.note(change);
        }
    }

    /// Records that messages about changes may have been lost, so that the poller looks at once.
    pub(in crate::watch) fn doubt(&self) {
        self.shared.doubted.notify_one();
    }

    // For the poller.

    /// Waits until partitions wait for their task. Cancel-safe: it misses none.
    pub(super) async fn heard(&self) {
        self.shared.heard.notified().await;
    }

    /// Waits until messages may have been lost. Cancel-safe.
    pub(super) async fn doubted(&self) {
        self.shared.doubted.notified().await;
    }

    /// Takes the partitions that wait for their task.
    pub(super) fn take_heard(&self) -> Vec<Started> {
        std::mem::take(&mut self.lock().heard)
    }

    /// The feeds of the partitions that are followed.
    pub(super) fn begun(&self) -> Vec<Arc<PartitionFeed>> {
        let table = self.lock();
        let feeds = table.feeds.values().map(|slot| &slot.feed);
        feeds
            .filter(|feed| feed.has_begun())
            .map(Arc::clone)
            .collect()
    }

    fn leave(&self, partition: &PartitionId) {
        let mut table = self.lock();
        table.watchers = table.watchers.saturating_sub(1);
        let Some(slot) = table.feeds.get_mut(partition) else {
            return;
        };
        slot.watchers = slot.watchers.saturating_sub(1);
        if slot.watchers == 0 {
            slot.stop.cancel();
            table.feeds.remove(partition);
        }
    }

    /// No code can panic while it holds the lock, so a poisoned lock is still good.
    fn lock(&self) -> MutexGuard<'_, Table> {
        let table = &self.shared.table;
        table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watcher's place at a partition.
#[derive(Debug)]
pub(crate) struct WatchedPartition {
    pub(super) feed: Arc<PartitionFeed>,
    /// Changes when there is something new.
    pub(super) news: watch::Receiver<u64>,
    partitions: Partitions,
}

impl Drop for WatchedPartition {
    fn drop(&mut self) {
        self.partitions.leave(&self.feed.partition);
    }
}
