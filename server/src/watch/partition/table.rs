//! Which partitions are watched and what is known of each; shared by the hub's task, the partitions' tasks and the watchers.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use headway_domain::{JobName, JobUid, Micros, PartitionId};
use headway_store::{Change, EventRow, JobView, Position};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    log::{Entry, Log},
    ring::{Events, Ring},
};
use crate::grpc::status::ApiError;

/// Jobs that wait to be read at most; beyond it the partition is compared with the database instead.
const DIRTY: usize = 65_536;

/// A moment up to which everything that was committed is in the log and the ring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// By the database's clock.
    pub(super) time: Micros,
    /// In the audit log.
    pub(super) position: Position,
    /// In the log of jobs: it is complete before this place.
    pub(super) place: u64,
    /// When it was made, by our clock.
    pub(super) made: Instant,
}

/// The handle by which calls watch partitions; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Partitions {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    table: Mutex<Table>,
    /// A partition is watched that was not before.
    wake: Notify,
    /// Watchers at most.
    most: usize,
}

#[derive(Debug, Default)]
struct Table {
    feeds: HashMap<PartitionId, Slot>,
    watchers: usize,
    /// Partitions that wait for their task.
    fresh: Vec<Started>,
}

#[derive(Debug)]
struct Slot {
    feed: Arc<PartitionFeed>,
    watchers: usize,
    stop: CancellationToken,
}

/// A partition that began to be watched, and what is cancelled when nobody watches it any more.
#[derive(Debug)]
pub(crate) struct Started {
    pub(super) feed: Arc<PartitionFeed>,
    pub(super) stop: CancellationToken,
}

impl Partitions {
    /// A table for so many watchers.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                table: Mutex::default(),
                wake: Notify::new(),
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
            news: slot.feed.news.subscribe(),
            feed: Arc::clone(&slot.feed),
            partitions: self.clone(),
        })
    }

    /// Waits until a partition is watched that was not before. Cancel-safe; none is missed.
    pub(in crate::watch) async fn gained(&self) {
        self.shared.wake.notified().await;
    }

    /// Takes the partitions that wait for their task.
    pub(in crate::watch) fn take_fresh(&self) -> Vec<Started> {
        std::mem::take(&mut self.lock().fresh)
    }

    /// Whether any partition is watched.
    pub(in crate::watch) fn any(&self) -> bool {
        !self.lock().feeds.is_empty()
    }

    /// Notes that a job changed, if its partition is watched.
    pub(in crate::watch) fn note(&self, change: &Change) {
        if let Some(slot) = self.lock().feeds.get(&change.partition) {
            slot.feed.note(change);
        }
    }

    /// Changes may have been missed: every watched partition is to be compared with the database.
    pub(in crate::watch) fn doubt(&self) {
        for slot in self.lock().feeds.values() {
            slot.feed.doubt();
        }
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

    /// No code can panic while it holds the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, Table> {
        let table = &self.shared.table;
        table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watcher's place at a partition.
#[derive(Debug)]
pub(crate) struct WatchedPartition {
    pub(super) feed: Arc<PartitionFeed>,
    /// Changes whenever there is something new.
    pub(super) news: watch::Receiver<u64>,
    partitions: Partitions,
}

impl Drop for WatchedPartition {
    fn drop(&mut self) {
        self.partitions.leave(&self.feed.partition);
    }
}

/// What is known of a watched partition.
#[derive(Debug)]
pub(super) struct PartitionFeed {
    /// The partition.
    pub(super) partition: PartitionId,
    inner: Mutex<Inner>,
    news: watch::Sender<u64>,
    poke: Notify,
}

#[derive(Debug)]
struct Inner {
    log: Log,
    ring: Ring,
    mark: Option<Mark>,
    dirty: BTreeSet<JobUid>,
    doubt: bool,
}

/// What the log has from a place on.
#[derive(Debug)]
pub(super) struct Taken {
    /// Entries, each with the place after it.
    pub(super) entries: Vec<(u64, Entry)>,
    /// Whether there are no more.
    pub(super) all: bool,
    /// The newest mark.
    pub(super) mark: Option<Mark>,
}

impl PartitionFeed {
    fn new(partition: PartitionId) -> Self {
        Self {
            partition,
            inner: Mutex::new(Inner {
                log: Log::default(),
                ring: Ring::at(Position::default()),
                mark: None,
                dirty: BTreeSet::new(),
                doubt: false,
            }),
            news: watch::Sender::new(0),
            poke: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.news.send_modify(|news| *news = news.wrapping_add(1));
    }

    fn note(&self, change: &Change) {
        let mut inner = self.lock();
        // Of a deleted job the audit log tells; until it does, reading finds nothing.
        if !change.deleted {
            inner.mark_dirty(change.uid);
        }
        drop(inner);
        self.poke.notify_one();
    }

    fn doubt(&self) {
        self.lock().doubt = true;
        self.poke.notify_one();
    }

    // For the partition's task.

    /// Waits for something to do. Cancel-safe.
    pub(super) async fn poked(&self) {
        self.poke.notified().await;
    }

    /// Whether changes may have been missed since the last call.
    pub(super) fn take_doubt(&self) -> bool {
        std::mem::take(&mut self.lock().doubt)
    }

    /// Marks jobs as to be read.
    pub(super) fn mark_dirty(&self, uids: impl IntoIterator<Item = JobUid>) {
        let mut inner = self.lock();
        for uid in uids {
            inner.mark_dirty(uid);
        }
    }

    /// Takes up to `most` jobs to read.
    pub(super) fn take_dirty(&self, most: usize) -> Vec<JobUid> {
        let dirty = &mut self.lock().dirty;
        std::iter::from_fn(|| dirty.pop_first())
            .take(most)
            .collect()
    }

    /// The audit log is read from this position on; what was known before is void.
    pub(super) fn begin(&self, position: Position) {
        let mut inner = self.lock();
        inner.ring = Ring::at(position);
        inner.log.forget();
    }

    /// Adds the events that follow.
    pub(super) fn add_events(&self, rows: Vec<EventRow>, end: Position) {
        let new = !rows.is_empty();
        self.lock().ring.extend(rows, end);
        if new {
            self.tell();
        }
    }

    /// Adds what was read. What made it be read may be anybody's message with a job of another partition, whose view nobody
    /// here may see.
    pub(super) fn put(&self, views: impl IntoIterator<Item = JobView>) {
        let mut inner = self.lock();
        let mut new = false;
        for view in views {
            if view.job.meta.name.partition != self.partition {
                tracing::debug!(partition = %self.partition, uid = %view.job.meta.uid, "dropped the state of a job of another partition");
                continue;
            }
            new |= inner.log.put(Arc::new(view));
        }
        drop(inner);
        if new {
            self.tell();
        }
    }

    /// Adds that a job was deleted.
    pub(super) fn delete(&self, uid: JobUid, name: JobName) {
        let mut inner = self.lock();
        inner.dirty.remove(&uid);
        let new = inner.log.delete(uid, name);
        drop(inner);
        if new {
            self.tell();
        }
    }

    /// Everything that was committed before this moment is in the log and the ring.
    pub(super) fn set_mark(&self, time: Micros, position: Position) {
        let mut inner = self.lock();
        inner.mark = Some(Mark {
            time,
            position,
            place: inner.log.next(),
            made: Instant::now(),
        });
        drop(inner);
        self.tell();
    }

    // For watchers.

    /// The newest mark and the place of the next entry of the log, once there is a mark.
    pub(super) fn present(&self) -> Option<(Mark, u64)> {
        let inner = self.lock();
        inner.mark.map(|mark| (mark, inner.log.next()))
    }

    /// Up to `most` entries of the log; `None` where it has forgotten some.
    pub(super) fn take(&self, place: u64, most: usize) -> Option<Taken> {
        let inner = self.lock();
        let entries = inner.log.since(place, most)?;
        Some(Taken {
            all: entries.len() < most,
            entries,
            mark: inner.mark,
        })
    }

    /// Up to `most` events after a position that `wanted` takes; `None` where the ring has forgotten some, or has none yet.
    pub(super) fn events(
        &self,
        position: Position,
        most: usize,
        wanted: impl Fn(&EventRow) -> bool,
    ) -> Option<Events> {
        let inner = self.lock();
        inner.mark?;
        inner.ring.since(position, most, wanted)
    }
}

impl Inner {
    fn mark_dirty(&mut self, uid: JobUid) {
        if self.dirty.len() < DIRTY {
            self.dirty.insert(uid);
        } else {
            self.doubt = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use headway_domain::job::Phase;
    use proptest::prelude::*;

    use super::{super::super::table::tests::view, *};

    proptest! {
        /// Whatever jobs are heard of and read, watchers of a partition see its own.
        #[test]
        fn views_of_other_partitions_are_never_shown(
            jobs in proptest::collection::vec((0_u128..20, 1_i64..5, "[pq]"), 0..50),
        ) {
            let feed = PartitionFeed::new(PartitionId::new("p").unwrap());
            let mut own = BTreeSet::new();
            for (number, revision, partition) in jobs {
                // A uid is of one job in one partition.
                let number = number * 2 + u128::from(partition == "q");
                let seen = view(number, revision, Phase::Active);
                let mut meta = (*seen.job.meta).clone();
                meta.name = format!("partitions/{partition}/jobs/j").parse().unwrap();
                let mut seen = (*seen).clone();
                seen.job.meta = Arc::new(meta);
                if partition == "p" {
                    own.insert(seen.job.meta.uid);
                }
                feed.put([seen]);
            }
            let taken = feed.take(0, usize::MAX).unwrap();
            let shown = taken.entries.into_iter().map(|(_, entry)| match entry {
                Entry::State(view) => {
                    assert_eq!(view.job.meta.name.partition.as_str(), "p");
                    view.job.meta.uid
                }
                Entry::Deleted(gone) => panic!("{gone:?}"),
            });
            prop_assert_eq!(shown.collect::<BTreeSet<_>>(), own);
        }
    }
}
