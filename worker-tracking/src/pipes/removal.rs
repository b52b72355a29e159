//! Removing pipes that no job uses: each is a queue of the broker, and there may only be so many.

use std::{collections::BTreeMap, time::Duration};

use headway_broker::Queue;
use tokio::time::Instant;

use crate::tracker::Tracker;

/// The longest time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// Since when pipes have been unused and empty.
type Unused = BTreeMap<String, Instant>;

impl Tracker {
    /// Removes unused pipes until shutdown; in the one process that leads.
    pub(crate) async fn removal(self) -> anyhow::Result<()> {
        let mut unused = Unused::new();
        let every = (self.config.pipe_retention / 4).min(LOOK_EVERY);
        while self.pause(every).await {
            if !self.lead.is_ours() {
                unused.clear();
                continue;
            }
            if let Err(error) = self.remove_pipes(&mut unused).await {
                tracing::warn!(%error, "cannot look for unused pipes; trying again later");
            }
        }
        Ok(())
    }

    async fn remove_pipes(&self, unused: &mut Unused) -> anyhow::Result<()> {
        let pipes = self.relay.store().pipes().unused().await?;
        unused.retain(|pipe, _| pipes.contains(pipe));
        for pipe in pipes {
            let queue = Queue::Pipe(pipe.clone());
            let Ok(depth) = self.relay.broker().depth(&queue).await else {
                // The others are looked at all the same.
                continue;
            };
            if depth.ready > 0 || depth.consumers > 0 {
                unused.remove(&pipe);
                continue;
            }
            let since = *unused.entry(pipe.clone()).or_insert_with(Instant::now);
            if since.elapsed() >= self.config.pipe_retention {
                match self.remove_pipe(&pipe, &queue).await {
                    Ok(()) => drop(unused.remove(&pipe)),
                    Err(error) => {
                        tracing::warn!(%error, pipe, "cannot remove an unused pipe; trying again later");
                    }
                }
            }
        }
        Ok(())
    }

    async fn remove_pipe(&self, pipe: &str, queue: &Queue) -> anyhow::Result<()> {
        let store = self.relay.store();
        if !store.pipes().is_unused(pipe).await? {
            return Ok(());
        }
        self.relay.broker().delete(queue).await?;
        // A job that was created meanwhile may have lost its messages with the queue.
        for key in store.pipes().jobs_on(pipe).await? {
            self.repair_job(key, store.now() + 1).await?;
        }
        // The row goes last: as long as it is there, a removal that failed halfway is done again.
        store.pipes().forget(pipe).await?;
        tracing::info!(pipe, "removed an unused pipe");
        Ok(())
    }
}
