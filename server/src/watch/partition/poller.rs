//! The one task that polls for all watched partitions.
//!
//! Messages about changed jobs may be lost at any time. So this task asks the database regularly,
//! in one statement, which watched partitions changed since its last question. The tasks of those
//! read what changed. For the others a mark says up to when everything is known, and costs nothing
//! more.

use std::{collections::HashSet, time::Duration};

use headway_domain::{Micros, PartitionId};
use headway_store::{Position, Store, StoreError};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{
    table::{Partitions, Started},
    task::{COMMIT_LAG, PartitionTask, pause},
};

/// The most partitions in one statement.
const POLLED: usize = 10_000;

/// The task.
pub(crate) struct PartitionPoller {
    partitions: Partitions,
    store: Store,
    repair_interval: Duration,
    /// Where the last poll ended. `None` before the first partition is watched.
    cursor: Option<Cursor>,
    /// Watched partitions that have no task yet.
    waiting: Vec<Started>,
    /// The tasks of watched partitions.
    followers: JoinSet<()>,
    /// Whether the last statement failed.
    away: bool,
}

/// Changes before this point are known for every partition whose task has nothing to compare.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    /// By the database's clock.
    time: Micros,
    /// In the audit log.
    position: Position,
}

impl PartitionPoller {
    pub(crate) fn new(partitions: Partitions, store: Store, repair_interval: Duration) -> Self {
        Self {
            partitions,
            store,
            repair_interval,
            cursor: None,
            waiting: Vec::new(),
            followers: JoinSet::new(),
            away: false,
        }
    }

    /// Runs until `shutdown`.
    ///
    /// # Errors
    /// If the task of a partition panicked.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let ended = shutdown.run_until_cancelled(self.follow()).await;
        ended.unwrap_or(Ok(()))
    }

    async fn follow(&mut self) -> anyhow::Result<()> {
        let mut repair = tokio::time::interval(self.repair_interval);
        repair.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rested = Instant::now();
        let mut wanted = false;
        loop {
            tokio::select! {
                () = self.partitions.heard() => {
                    let begun = self.begin().await;
                    self.note(begun);
                }
                Some(ended) = self.followers.join_next() => ended?,
                () = self.partitions.doubted() => wanted = true,
                _ = repair.tick() => wanted = true,
                () = tokio::time::sleep_until(rested), if wanted => {
                    wanted = false;
                    let began = Instant::now();
                    let polled = self.poll().await;
                    self.note(polled);
                    rested = Instant::now() + pause(began.elapsed());
                }
            }
        }
    }

    /// Begins to follow the newly watched partitions, at the present end of the audit log. One
    /// statement for all.
    async fn begin(&mut self) -> Result<(), StoreError> {
        self.waiting.extend(self.partitions.take_heard());
        if self.waiting.is_empty() {
            return Ok(());
        }
        let time = self.store.now();
        let position = self.store.events().end().await?;
        // An existing cursor is older: the next poll then looks at more than these partitions need.
        self.cursor.get_or_insert(Cursor { time, position });
        for started in self.waiting.drain(..) {
            started.feed.begin(time, position);
            let task = PartitionTask::new(started, self.store.clone());
            self.followers.spawn(task.run());
        }
        Ok(())
    }

    async fn poll(&mut self) -> Result<(), StoreError> {
        self.begin().await?;
        let feeds = self.partitions.begun();
        let Some(cursor) = self.cursor.filter(|_| !feeds.is_empty()) else {
            self.cursor = None;
            return Ok(());
        };
        let time = self.store.now();
        let since = cursor.time.saturating_sub(COMMIT_LAG);
        let mut end: Option<Position> = None;
        for chunk in feeds.chunks(POLLED) {
            let watched: Vec<PartitionId> =
                chunk.iter().map(|feed| feed.partition.clone()).collect();
            let polled = self
                .store
                .changed_partitions(&watched, cursor.position, since)
                .await;
            let polled = match polled {
                Ok(polled) => polled,
                Err(StoreError::CursorExpired { .. }) => {
                    // Each task finds that its own place in the audit log is gone too, and begins
                    // again.
                    end = Some(self.store.events().end().await?);
                    feeds.iter().for_each(|feed| feed.ask());
                    break;
                }
                Err(error) => return Err(error),
            };
            let changed: HashSet<PartitionId> = polled.partitions.into_iter().collect();
            for feed in chunk {
                match changed.contains(&feed.partition) {
                    true => feed.ask(),
                    false => feed.unchanged(time, polled.end),
                }
            }
            end = Some(end.map_or(polled.end, |end| end.min(polled.end)));
        }
        self.cursor = end.map(|position| Cursor { time, position });
        Ok(())
    }

    fn note(&mut self, answer: Result<(), StoreError>) {
        match answer {
            Ok(()) if std::mem::take(&mut self.away) => {
                tracing::info!("can poll for changes of watched partitions again");
            }
            Ok(()) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.away, true) {
                    tracing::warn!(%error, "cannot poll for changes of watched partitions; trying again");
                }
            }
        }
    }
}
