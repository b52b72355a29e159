//! What is nobody's shard: messages owed too long, pages to split again, jobs that stand still,
//! deleted jobs, and old events.

use std::time::Duration;

use headway_store::StoreError;
use tokio::time::Instant;

use crate::tracker::Tracker;

/// A live job that did not change for so long is advanced.
const IDLE_US: i64 = 30_000_000;
/// How often idle jobs are looked for.
const IDLE_EVERY: Duration = Duration::from_secs(10);
/// Rounds of removing deleted jobs' rows in one turn.
const GARBAGE_ROUNDS: usize = 20;
/// After each of them, and of [`EXPIRY_ROUNDS`], it rests this many times as long as that took.
const REST: u32 = 7;
/// It does not rest for longer than [`REST`] times this.
const LONGEST_REST: Duration = Duration::from_millis(250);
/// Rounds of deleting jobs whose time is over in one turn.
const EXPIRY_ROUNDS: usize = 10;
/// Rounds of giving unused room of the database's file back in one turn.
const SHRINK_ROUNDS: usize = 10;
/// Old events are looked for in one of this many sweeps, or in the next where there are more.
const TIDIED_EVERY: u32 = 10;
/// Rounds of removing old events in one turn.
const EVENT_ROUNDS: usize = 5;

impl Tracker {
    /// Sweeps until shutdown. Every process does: rows are taken with SKIP LOCKED, so that they
    /// share the work.
    pub(crate) async fn janitor(self) -> anyhow::Result<()> {
        let mut idle_at = Instant::now();
        let mut audited = 0;
        let mut sweeps_to_tidying = 1;
        while self.pause(self.config.sweep_interval).await {
            sweeps_to_tidying -= 1;
            let swept = match self.sweep().await {
                Ok(()) if sweeps_to_tidying == 0 => self.tidy().await,
                swept => swept.map(|()| false),
            };
            if sweeps_to_tidying == 0 {
                sweeps_to_tidying = match swept {
                    Ok(false) => TIDIED_EVERY,
                    Ok(true) | Err(_) => 1,
                };
            }
            if let Err(error) = swept {
                tracing::warn!(%error, "cannot finish a sweep; trying again at the next one");
                continue;
            }
            if idle_at.elapsed() >= IDLE_EVERY {
                idle_at = Instant::now();
                self.wake_idle().await;
                audited = self.audit(audited).await;
            }
        }
        Ok(())
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        let age = i64::try_from(self.config.outbox_after.as_micros()).unwrap_or(i64::MAX);
        let owed = self.relay.sweep(age).await?;
        if owed > 0 {
            tracing::info!(owed, "published overdue messages of the outbox");
        }
        // What a crash between a commit and its consequences left.
        self.relay.look_at_dependents();
        let committed = self.relay.store().fire_pages().await?;
        self.relay.publish(committed).await;
        let committed = self.relay.store().recount_jobs().await;
        self.relay.publish(committed).await;
        self.walk_partitions().await?;
        self.expire_jobs().await?;
        for _ in 0..GARBAGE_ROUNDS {
            let begun = Instant::now();
            if !self.relay.store().collect_garbage().await? {
                break;
            }
            if !self.rest(begun.elapsed()).await {
                break;
            }
        }
        for _ in 0..SHRINK_ROUNDS {
            let begun = Instant::now();
            if !self.relay.store().shrink().await? || !self.rest(begun.elapsed()).await {
                break;
            }
        }
        self.relay.store().refresh_statistics().await
    }

    /// Removes what was kept for days; whether there may be more.
    async fn tidy(&self) -> Result<bool, StoreError> {
        self.relay.store().forget_unreadable().await?;
        self.expire_events().await
    }

    /// Deletes jobs whose time is over, some a turn.
    async fn expire_jobs(&self) -> Result<(), StoreError> {
        for _ in 0..EXPIRY_ROUNDS {
            let begun = Instant::now();
            let (committed, more) = self.relay.store().expire_jobs().await?;
            self.relay.publish(committed).await;
            if !more || !self.rest(begun.elapsed()).await {
                break;
            }
        }
        Ok(())
    }

    /// Rests after a round of removing what is over, so that what runs keeps most of the database;
    /// whether to go on.
    async fn rest(&self, took: Duration) -> bool {
        self.pause(took.min(LONGEST_REST) * REST).await
    }

    /// Lets jobs follow the suspension of their partition where a walk did not end, or did not see
    /// them.
    async fn walk_partitions(&self) -> Result<(), StoreError> {
        let store = self.relay.store();
        for partition in store.partitions().to_walk().await? {
            let mut after = 0;
            loop {
                let (committed, next) = store.walk_partition(&partition, after).await?;
                self.relay.publish(committed).await;
                match next {
                    Some(next) => after = next,
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Removes old events and tombstones, some a turn; whether there may be more.
    async fn expire_events(&self) -> Result<bool, StoreError> {
        let store = self.relay.store();
        let kept = i64::try_from(self.config.event_retention.as_micros()).unwrap_or(i64::MAX);
        let before = store.now().saturating_sub(kept);
        let mut events = true;
        for _ in 0..EVENT_ROUNDS {
            events = events && store.events().expire(before).await?;
        }
        let mut tombstones = true;
        for _ in 0..EVENT_ROUNDS {
            tombstones = tombstones && store.expire_tombstones(before).await?;
        }
        Ok(events || tombstones)
    }

    /// Looks whether the counters of the next job agree with its rows; the key to go on above.
    async fn audit(&self, after: i64) -> i64 {
        match self.relay.store().audit_job(after).await {
            Ok((committed, next)) => {
                self.relay.publish(committed).await;
                next
            }
            Err(error) => {
                tracing::warn!(%error, "cannot audit the counters of a job; trying again in 10 s");
                after
            }
        }
    }

    async fn wake_idle(&self) {
        let mut after = 0;
        loop {
            match self.relay.store().advance_idle(IDLE_US, after).await {
                Ok((committed, next)) => {
                    self.relay.publish(committed).await;
                    match next {
                        Some(next) => after = next,
                        None => return,
                    }
                }
                Err(error) => {
                    return tracing::warn!(%error, "cannot advance idle jobs; trying again in 10 s");
                }
            }
        }
    }
}
