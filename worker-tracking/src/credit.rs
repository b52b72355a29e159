//! The credit of a pipe: about half a second of what it drains, shared over partitions, then jobs.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use headway_broker::Queue;
use headway_store::{HungryJob, PipeShare};
use tokio::time::Instant;

use crate::tracker::Tracker;

/// How often rates are measured and credit is shared out.
const ROUND: Duration = Duration::from_millis(250);
/// The part of a second that a pipe may hold in advance.
const SECONDS: f64 = 0.5;
/// Items a pipe may hold for each of its consumers, however slow.
const PER_CONSUMER: u64 = 32;
/// Jobs whose allowance changes in one round at most.
const CHANGES: usize = 200;
/// Rates of processes that were silent for so long are forgotten.
const SILENT_US: i64 = 5_000_000;

impl Tracker {
    /// Publishes this process's rates, and in the leading process shares out credit, until shutdown.
    pub(crate) async fn credit(self) -> anyhow::Result<()> {
        let mut last = Instant::now();
        let mut published = false;
        while self.pause(ROUND).await {
            let rates = self.rates.sample(last.elapsed().as_secs_f64());
            last = Instant::now();
            if !rates.is_empty() || published {
                published = !rates.is_empty();
                if let Err(error) = self
                    .relay
                    .store()
                    .publish_rates(self.owner, &rates, SILENT_US)
                    .await
                {
                    tracing::warn!(%error, "rates are not published");
                    continue;
                }
            }
            if self.leads.load(Ordering::Relaxed) {
                self.share_out().await;
            }
        }
        Ok(())
    }

    async fn share_out(&self) {
        let pipes = match self.relay.store().hungry_pipes().await {
            Ok(pipes) => pipes,
            Err(error) => return tracing::warn!(%error, "credit is not shared out"),
        };
        for pipe in pipes {
            let queue = Queue::Pipe(pipe.pipe.clone());
            let consumers = match self.relay.broker().depth(&queue).await {
                Ok(depth) => depth.consumers,
                Err(error) => {
                    tracing::warn!(%error, pipe = pipe.pipe, "credit is not shared out");
                    continue;
                }
            };
            for (key, allowance) in shares(&pipe, consumers).into_iter().take(CHANGES) {
                match self.relay.store().set_allowance(key, allowance).await {
                    Ok(committed) => self.relay.publish(committed).await,
                    Err(error) => tracing::warn!(%error, "an allowance is not changed"),
                }
            }
        }
    }
}

/// The allowances that are to change: jobs whose share is off by a quarter or more.
fn shares(pipe: &PipeShare, consumers: u64) -> Vec<(i64, u32)> {
    let credit = ((pipe.rate * SECONDS) as u64).max(PER_CONSUMER * consumers.max(1));
    let mut partitions: BTreeMap<&str, Vec<&HungryJob>> = BTreeMap::new();
    for job in &pipe.jobs {
        partitions.entry(&job.partition_id).or_default().push(job);
    }
    let each_partition = credit / partitions.len().max(1) as u64;
    let mut changes = Vec::new();
    for jobs in partitions.into_values() {
        let each = (each_partition / jobs.len() as u64).max(1);
        for job in jobs {
            let before = u64::try_from(job.allowance).unwrap_or(1);
            if before.abs_diff(each) * 4 >= before.max(1) {
                changes.push((job.job_key, u32::try_from(each).unwrap_or(u32::MAX)));
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(key: i64, partition: &str, allowance: i64) -> HungryJob {
        HungryJob {
            job_key: key,
            partition_id: partition.to_owned(),
            allowance,
        }
    }

    #[test]
    fn credit_goes_by_partition_then_job() {
        let jobs = vec![job(1, "a", 1), job(2, "a", 1), job(3, "b", 1)];
        let pipe = PipeShare {
            pipe: "p".into(),
            rate: 8000.0,
            jobs,
        };
        assert_eq!(shares(&pipe, 1), [(1, 1000), (2, 1000), (3, 2000)]);
    }

    #[test]
    fn small_differences_are_left_alone() {
        let pipe = PipeShare {
            pipe: "p".into(),
            rate: 2000.0,
            jobs: vec![job(1, "a", 900)],
        };
        assert!(shares(&pipe, 1).is_empty());
    }

    #[test]
    fn slow_pipes_keep_their_consumers_fed() {
        let pipe = PipeShare {
            pipe: "p".into(),
            rate: 0.0,
            jobs: vec![job(1, "a", 1)],
        };
        assert_eq!(shares(&pipe, 3), [(1, 96)]);
        assert_eq!(shares(&pipe, 0), [(1, 32)]);
    }
}
