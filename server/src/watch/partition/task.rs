//! The task of a watched partition: reads what changed, once for all who watch.
//!
//! Changes are heard of, but may be missed at any time. So the audit log is followed, which tells of every beginning, end and
//! deletion, and every now and then the revisions of jobs at work that changed lately are compared. After each
//! such round a mark says up to when everything is known.

use std::{collections::HashMap, sync::Arc, time::Duration};

use headway_domain::{JobUid, Micros, event::EventKind};
use headway_store::{EventQuery, Position, Store, StoreError};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{
    shown::{Said, Shown},
    table::{PartitionFeed, Started},
};

/// Jobs read in one call.
const CHUNK: usize = 256;
/// Events read in one call.
const EVENTS: u32 = 500;
/// Jobs whose revisions are remembered at least, so that they are not read for nothing: more than change between two comparisons, less
/// about ten seconds. At most twice as many, of about 48 bytes each.
const KNOWN: usize = 32_768;
/// Changed jobs compared in one round at most.
const COMPARED: u32 = 10_000;
/// How long a commit may take after the time that it stamps: so much earlier begins what is compared.
pub(super) const COMMIT_LAG: Micros = 10_000_000;
/// The least and the most time between two rounds.
const PACE: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(2));
/// Rounds rest so many times as long as they take, so that a busy partition costs the database a quarter of a connection.
const REST: u32 = 3;

/// The task.
pub(crate) struct PartitionTask {
    feed: Arc<PartitionFeed>,
    stop: CancellationToken,
    store: Store,
    repair_interval: Duration,
    query: EventQuery,
    /// How far the audit log was read; `None` before the beginning.
    position: Option<Position>,
    /// What was read, so that it is not read again.
    known: Shown,
    /// The time of the last comparison, by the database's clock.
    compared: Micros,
    /// The database did not answer the last time.
    away: bool,
}

impl PartitionTask {
    pub(crate) fn new(started: Started, store: Store, repair_interval: Duration) -> Self {
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
            repair_interval,
            position: None,
            known: Shown::of(KNOWN),
            compared: 0,
            away: false,
        }
    }

    /// Runs until nobody watches the partition.
    pub(crate) async fn run(mut self) {
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&mut self) {
        let mut repair = tokio::time::interval(self.repair_interval);
        repair.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let tick = tokio::select! {
                biased;
                _ = repair.tick() => true,
                () = self.feed.poked() => false,
            };
            let began = Instant::now();
            let compare = self.feed.take_doubt() || tick;
            match self.round(compare).await {
                Ok(()) => self.answered(),
                Err(error) => self.unanswered(&error),
            }
            tokio::time::sleep((began.elapsed() * REST).clamp(PACE.0, PACE.1)).await;
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
            self.compared = began;
            self.feed.set_mark(began, position);
        }
        Ok(())
    }

    async fn read_events(&mut self) -> Result<Position, StoreError> {
        let mut position = match self.position {
            Some(position) => position,
            None => self.begin().await?,
        };
        loop {
            let page = match self.store.events(&self.query, position, EVENTS).await {
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
            self.position = Some(position);
            self.feed.add_events(page.events, position);
            if !page.more {
                return Ok(position);
            }
        }
    }

    /// Begins at the present end of the audit log.
    async fn begin(&mut self) -> Result<Position, StoreError> {
        self.compared = self.store.now();
        let position = self.store.events_end().await?;
        self.feed.begin(position);
        self.known.clear();
        self.position = Some(position);
        Ok(position)
    }

    /// A job has this revision: it is to be read unless that was read.
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
        let since = self.compared.saturating_sub(COMMIT_LAG);
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
            let views = match self.store.job_states(&uids).await {
                Ok(views) => views,
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
            tracing::warn!(%error, partition = %self.feed.partition, "a watched partition cannot be read, trying again");
        }
    }
}

/// In the order of their changes.
fn newest(views: HashMap<JobUid, headway_store::JobView>) -> Vec<headway_store::JobView> {
    let mut views: Vec<_> = views.into_values().collect();
    views.sort_by_key(|view| view.job.updated);
    views
}
