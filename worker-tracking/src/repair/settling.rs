//! Settling jobs that were cancelled or stopped: what lies in a pipe that nobody consumes is taken
//! back, since no worker will ever say anything about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use headway_broker::Queue;
use headway_store::UnsettledJob;
use tokio::time::Instant;

use crate::tracker::Tracker;

/// How often ended jobs with items out are looked for, and how often while a pipe of theirs has no
/// consumers.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(500));
/// How long a pipe must be without consumers before its messages count as taken by nobody. Workers
/// that lost their connection are back sooner.
const UNCONSUMED: Duration = Duration::from_secs(2);
/// The same where messages are missing in the pipe: a worker that is shutting down has no consumer
/// any more and may still run items for its drain time.
const DRAINED: Duration = Duration::from_secs(60);

/// Since when pipes have had no consumers.
type Unconsumed = BTreeMap<String, Instant>;

impl Tracker {
    /// Takes back what nobody took until shutdown; in the one process that leads.
    pub(crate) async fn settling(self) -> anyhow::Result<()> {
        let mut unconsumed = Unconsumed::new();
        let every = |unconsumed: &Unconsumed| match unconsumed.is_empty() {
            true => LOOK_EVERY.0,
            false => LOOK_EVERY.1,
        };
        while self.pause(every(&unconsumed)).await {
            if !self.lead.is_ours() {
                unconsumed.clear();
                continue;
            }
            if let Err(error) = self.settle(&mut unconsumed).await {
                tracing::warn!(%error, "cannot discard the unconsumed items of ended jobs; trying again");
            }
        }
        Ok(())
    }

    async fn settle(&self, unconsumed: &mut Unconsumed) -> anyhow::Result<()> {
        let store = self.relay.store();
        let jobs = store.unsettled_jobs().await?;
        if !jobs.is_empty() {
            store.hasten_deferred().await?;
        }
        let mut by_pipe: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
        for UnsettledJob { job_key, pipe } in jobs {
            by_pipe.entry(pipe).or_default().insert(job_key);
        }
        unconsumed.retain(|pipe, _| by_pipe.contains_key(pipe));
        for (pipe, keys) in by_pipe {
            if self.is_abandoned(&pipe, unconsumed).await? {
                for key in keys {
                    self.take_back(key, &pipe).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether no worker has, or will take, what is in a pipe.
    async fn is_abandoned(&self, pipe: &str, unconsumed: &mut Unconsumed) -> anyhow::Result<bool> {
        let depth = match self
            .relay
            .broker()
            .depth(&Queue::Pipe(pipe.to_owned()))
            .await
        {
            Ok(depth) => depth,
            Err(error) => {
                // The others are looked at all the same.
                tracing::debug!(%error, pipe, "cannot read the depth of a pipe; its ended jobs settle later");
                unconsumed.remove(pipe);
                return Ok(false);
            }
        };
        if depth.consumers > 0 {
            unconsumed.remove(pipe);
            return Ok(false);
        }
        let since = *unconsumed
            .entry(pipe.to_owned())
            .or_insert_with(Instant::now);
        if since.elapsed() < UNCONSUMED {
            return Ok(false);
        }
        let all_there = self.relay.store().pipes().messages_out(pipe).await? <= depth.ready;
        Ok(all_there || since.elapsed() >= DRAINED)
    }

    async fn take_back(&self, key: i64, pipe: &str) -> anyhow::Result<()> {
        let mut after = 0;
        loop {
            let (committed, next) = self.relay.store().discard_untaken(key, pipe, after).await?;
            self.relay.publish(committed).await;
            match next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }
}
