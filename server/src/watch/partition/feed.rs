//! What the server knows about a watched partition. The poller, the partition's task and its
//! watchers share it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use headway_domain::{JobName, JobUid, Micros, PartitionId};
use headway_store::{Change, EventRow, JobView, Position};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    log::{Entry, Log},
    ring::{Events, Ring},
};

/// The most jobs that wait to be read. If there are more, the task compares the partition with the
/// database instead.
const DIRTY: usize = 65_536;
/// If the last mark is older than a bookmark's interval and this, nobody knows whether anything
/// changed.
pub(super) const STALE: Duration = Duration::from_secs(5);

/// A point in time. Everything committed before it is in the log and the ring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// By the database's clock.
    pub(super) time: Micros,
    /// In the audit log.
    pub(super) position: Position,
    /// In the log of jobs, which is complete before this place.
    pub(super) place: u64,
    /// When the mark was made, by this process's clock.
    pub(super) made: Instant,
}

/// What the server knows about a watched partition.
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
    standing: Standing,
}

/// Whether the task must compare a partition with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Everything is known up to the poller's last poll.
    Current,
    /// The task must compare.
    Asked,
    /// The task is comparing.
    Comparing,
}

/// The entries of the log from a place on.
#[derive(Debug)]
pub(super) struct Taken {
    /// Entries, each with the place after it.
    pub(super) entries: Vec<(u64, Entry)>,
    /// Whether these are all entries.
    pub(super) all: bool,
    /// The newest mark.
    pub(super) mark: Option<Mark>,
}

impl PartitionFeed {
    pub(super) fn new(partition: PartitionId) -> Self {
        Self {
            partition,
            inner: Mutex::new(Inner {
                log: Log::default(),
                ring: Ring::at(Position::default()),
                mark: None,
                dirty: BTreeSet::new(),
                standing: Standing::Current,
            }),
            news: watch::Sender::new(0),
            poke: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A receiver that changes when there is something new.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    fn tell(&self) {
        self.news.send_modify(|news| *news = news.wrapping_add(1));
    }

    /// Records that a job changed.
    pub(super) fn note(&self, change: &Change) {
        let mut inner = self.lock();
        // The audit log names a deleted job. Until then, reading the job finds nothing.
        if !change.deleted {
            inner.mark_dirty(change.uid);
        }
        drop(inner);
        self.poke.notify_one();
    }

    // For the poller.

    /// Whether the feed has a position in the audit log.
    pub(super) fn has_begun(&self) -> bool {
        self.lock().mark.is_some()
    }

    /// Asks the task to compare the partition with the database.
    pub(super) fn ask(&self) {
        self.ask_later();
        self.poke.notify_one();
    }

    /// Records that the database has no changes since the last poll. So everything committed before
    /// this moment is known, unless the task has not yet read what the last poll found.
    pub(super) fn unchanged(&self, time: Micros, position: Position) {
        let mut inner = self.lock();
        if inner.standing != Standing::Current {
            drop(inner);
            return self.ask();
        }
        inner.ring.extend(Vec::new(), position);
        let before = inner.mark;
        if before.is_none_or(|mark| mark.position <= position) {
            inner.set_mark(time, position);
        }
        drop(inner);
        // Watchers look at the mark when their bookmarks are due. They wait for a new mark only if
        // the last one is old.
        if before.is_none_or(|mark| mark.made.elapsed() >= STALE) {
            self.tell();
        }
    }

    // For the partition's task.

    /// Waits for something to do. Cancel-safe.
    pub(super) async fn poked(&self) {
        self.poke.notified().await;
    }

    /// Returns whether the task must compare, and records that it does so now.
    pub(super) fn take_asked(&self) -> bool {
        let mut inner = self.lock();
        let asked = inner.standing == Standing::Asked;
        if asked {
            inner.standing = Standing::Comparing;
        }
        asked
    }

    /// The task could not read: let it compare at the next look of the poller.
    pub(super) fn ask_later(&self) {
        self.lock().standing = Standing::Asked;
    }

    /// The position up to which the audit log was read.
    pub(super) fn position(&self) -> Position {
        self.lock().ring.end()
    }

    /// The time before which all changes are known.
    pub(super) fn known_until(&self) -> Micros {
        self.lock().mark.map_or(0, |mark| mark.time)
    }

    /// Marks jobs for reading.
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

    /// Starts to read the audit log at this position, and forgets everything known before.
    pub(super) fn begin(&self, time: Micros, position: Position) {
        let mut inner = self.lock();
        inner.ring = Ring::at(position);
        inner.log.forget();
        inner.set_mark(time, position);
        drop(inner);
        self.tell();
    }

    /// Adds the events that follow.
    pub(super) fn add_events(&self, rows: Vec<EventRow>, end: Position) {
        let new = !rows.is_empty();
        self.lock().ring.extend(rows, end);
        if new {
            self.tell();
        }
    }

    /// Adds states that were read. A message with a job of another partition may have caused the
    /// read; watchers of this partition must not see that job.
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

    /// Records that a job was deleted.
    pub(super) fn delete(&self, uid: JobUid, name: JobName) {
        let mut inner = self.lock();
        inner.dirty.remove(&uid);
        let new = inner.log.delete(uid, name);
        drop(inner);
        if new {
            self.tell();
        }
    }

    /// Records that the task has compared: everything committed before this moment is in the log
    /// and the ring.
    pub(super) fn compared(&self, time: Micros, position: Position) {
        let mut inner = self.lock();
        if inner.standing == Standing::Comparing {
            inner.standing = Standing::Current;
        }
        inner.set_mark(time, position);
        drop(inner);
        self.tell();
    }

    // For watchers.

    /// The newest mark and the place of the next entry of the log, once there is a mark.
    pub(super) fn present(&self) -> Option<(Mark, u64)> {
        let inner = self.lock();
        inner.mark.map(|mark| (mark, inner.log.next()))
    }

    /// Up to `most` entries of the log, or `None` if the log has forgotten some.
    pub(super) fn take(&self, place: u64, most: usize) -> Option<Taken> {
        let inner = self.lock();
        let entries = inner.log.since(place, most)?;
        Some(Taken {
            all: entries.len() < most,
            entries,
            mark: inner.mark,
        })
    }

    /// Up to `most` events after a position that `wanted` accepts. `None` if the ring has forgotten
    /// some, or has none yet.
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
            self.standing = Standing::Asked;
        }
    }

    fn set_mark(&mut self, time: Micros, position: Position) {
        self.mark = Some(Mark {
            time,
            position,
            place: self.log.next(),
            made: Instant::now(),
        });
    }
}

#[cfg(test)]
mod tests;
