//! The task of a watched partition. It reads changes once for all watchers.
//!
//! It waits until a message names a changed job, or until the poller finds changes. Then it reads
//! the audit log, which names every start, end and deletion. If the poller asked for it, the task
//! also compares the revisions of unsettled jobs that changed lately, and sets a mark up to which
//! everything is known.

use std::{collections::HashMap, sync::Arc, time::Duration};

use headway_domain::{JobUid, Micros, events::EventKind};
use headway_store::{EventQuery, Position, Store, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    feed::PartitionFeed,
    shown::{Said, Shown},
    table::Started,
};

/// Jobs that one call reads.
const CHUNK: usize = 256;
/// Events that one call reads.
const EVENTS: u32 = 500;
/// How many revisions of jobs are remembered at least, so that no job is read in vain: more than
/// change between two comparisons, plus ten seconds. At most twice as many are kept, at about 48
/// bytes each.
const KNOWN: usize = 32_768;
/// The most changed jobs that one round compares.
const COMPARED: u32 = 10_000;
/// How long a commit may take after the time that it stamps. A comparison begins this much earlier.
pub(super) const COMMIT_LAG: Micros = 10_000_000;
/// The least and the most time between two rounds.
const PACE: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(2));
/// A pause lasts this many times as long as its round, so that a busy partition costs the database
/// a quarter of a connection.
const REST: u32 = 3;

/// The task.
pub(crate) struct PartitionTask {
    feed: Arc<PartitionFeed>,
    stop: CancellationToken,
    store: Store,
    query: EventQuery,
    /// What was read, so that it is not read again.
    known: Shown,
    /// Whether the last statement failed.
    away: bool,
}

impl PartitionTask {
    /// The task of a partition whose feed has begun.
    pub(super) fn new(started: Started, store: Store) -> Self {
        let Started { feed, stop } = started;
        Self {
            query: EventQuery {
                partition: feed.partition.clone(),
                job: None,
                kinds: Vec::new(),
            },
            feed,
            stop,
            store,
            known: Shown::of(KNOWN),
            away: false,
        }
    }

    /// Runs until nobody watches the partition.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&mut self) {
        loop {
            self.feed.poked().await;
            let began = Instant::now();
            let compare = self.feed.take_asked();
            match self.round(compare).await {
                Ok(()) => self.answered(),
                Err(error) => {
                    self.feed.ask_later();
                    self.unanswered(&error);
                }
            }
            tokio::time::sleep(pause(began.elapsed())).await;
        }
    }

    async fn round(&mut self, compare: bool) -> Result<(), StoreError> {
        let began = self.store.now();
        let position = self.read_events().await?;
        if compare {
            self.compare().await?;
        }
        self.read_dirty().await?;
        if compare {
            self.feed.compared(began, position);
        }
        Ok(())
    }

    async fn read_events(&mut self) -> Result<Position, StoreError> {
        let mut position = self.feed.position();
        loop {
            let page = match self
                .store
                .events()
                .list(&self.query, position, EVENTS)
                .await
            {
                Ok(page) => page,
                Err(StoreError::CursorExpired { .. }) => {
                    position = self.begin().await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            for row in &page.events {
                match &row.name {
                    Some(name) if row.kind == EventKind::Deleted => {
                        self.feed.delete(row.uid, name.clone());
                    }
                    Some(_) => self.suspect(row.uid, row.revision),
                    None => {}
                }
            }
            position = page.next;
            self.feed.add_events(page.events, position);
            if !page.more {
                return Ok(position);
            }
        }
    }

    /// Begins again at the present end of the audit log.
    async fn begin(&mut self) -> Result<Position, StoreError> {
        let time = self.store.now();
        let position = self.store.events().end().await?;
        self.known.clear();
        self.feed.begin(time, position);
        Ok(position)
    }

    /// A job has this revision. Read it unless that revision was read.
    fn suspect(&self, uid: JobUid, revision: i64) {
        if self
            .known
            .get(uid)
            .is_none_or(|known| known.revision() < revision)
        {
            self.feed.mark_dirty([uid]);
        }
    }

    async fn compare(&mut self) -> Result<(), StoreError> {
        let since = self.feed.known_until().saturating_sub(COMMIT_LAG);
        let partition = &self.feed.partition;
        let changed = self.store.changed_jobs(partition, since, COMPARED).await?;
        for (uid, revision) in changed {
            self.suspect(uid, revision);
        }
        Ok(())
    }

    async fn read_dirty(&mut self) -> Result<(), StoreError> {
        loop {
            let uids = self.feed.take_dirty(CHUNK);
            if uids.is_empty() {
                return Ok(());
            }
            // A job that cannot be read is shown once it can be.
            let views = match self.store.job_states(&uids).await {
                Ok(states) => states.views,
                Err(error) => {
                    self.feed.mark_dirty(uids);
                    return Err(error);
                }
            };
            for view in views.values() {
                let said = Said::Shown(view.job.revision);
                self.known.note(view.job.meta.uid, said);
            }
            self.feed.put(newest(views));
        }
    }

    fn answered(&mut self) {
        if std::mem::take(&mut self.away) {
            tracing::info!(partition = %self.feed.partition, "a watched partition can be read again");
        }
    }

    fn unanswered(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.away, true) {
            tracing::warn!(%error, partition = %self.feed.partition, "cannot read a watched partition; trying again, its watchers see no changes meanwhile");
        }
    }
}

/// How long to wait after a round that took this long.
pub(super) fn pause(took: Duration) -> Duration {
    (took * REST).clamp(PACE.0, PACE.1)
}

/// The states in the order of their changes.
fn newest(views: HashMap<JobUid, headway_store::JobView>) -> Vec<headway_store::JobView> {
    let mut views: Vec<_> = views.into_values().collect();
    views.sort_by_key(|view| view.job.updated);
    views
}
