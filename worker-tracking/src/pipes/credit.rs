//! The credit of a pipe: what its workers hold, and about half a second of what they drain beside
//! that.

use std::{collections::BTreeMap, time::Duration};

use headway_broker::{Depth, Queue};
use headway_domain::{
    jobs::bulk::JOBS,
    pipes::{Bucket, Turn},
};
use headway_store::PipeShare;
use tokio::time::Instant;

use super::share::{Books, shares};
use crate::tracker::Tracker;

/// How often rates are measured and credit is shared out.
const ROUND: Duration = Duration::from_millis(250);
/// The part of a second that may wait in a pipe.
const SECONDS: f64 = 0.5;
/// Items that may wait in a pipe for each of its consumers, however slow.
const PER_CONSUMER: f64 = 32.0;
/// Items that may wait in a pipe of which no rate is known yet: what its first job may have out
/// from the start.
const UNKNOWN: f64 = 128.0;
/// Messages that one consumer holds at most: the bound of the workers' prefetch.
const HELD_PER_CONSUMER: f64 = 1024.0;
/// Jobs of one pipe whose share changes in one round at most.
const CHANGES: usize = 400;
/// Jobs whose share changes in one transaction.
const TOGETHER: usize = 50;
/// As [`ROUND`], in microseconds.
const ROUND_US: i64 = 250_000;
/// How often rates are published that do not move, so that their process does not seem to be dead.
const PUBLISH_EVERY: Duration = Duration::from_secs(2);
/// Rates of processes that were silent for so long are forgotten.
const SILENT_US: i64 = 5_000_000;

impl Tracker {
    /// Publishes this process's rates, and in the leading process shares out credit, until
    /// shutdown.
    pub(crate) async fn credit(self) -> anyhow::Result<()> {
        let mut last = Instant::now();
        let mut published = (Instant::now(), BTreeMap::new());
        let mut buckets = BTreeMap::new();
        let mut turn = Turn::default();
        while self.pause(ROUND).await {
            let rates = self.rates.sample(last.elapsed().as_secs_f64());
            last = Instant::now();
            let due = !rates.is_empty() && published.0.elapsed() >= PUBLISH_EVERY;
            if due || moved(&published.1, &rates) {
                let store = self.relay.store();
                if let Err(error) = store
                    .pipes()
                    .publish_rates(self.owner, &rates, SILENT_US)
                    .await
                {
                    tracing::warn!(%error, "cannot publish the rates of pipes; credit follows the last rates that were published");
                    continue;
                }
                published = (last, rates);
            }
            if self.lead.is_ours() {
                self.share_out(&mut buckets, turn).await;
                turn = turn.next();
            }
        }
        Ok(())
    }

    async fn share_out(&self, buckets: &mut BTreeMap<String, Bucket>, turn: Turn) {
        let store = self.relay.store();
        let (pipes, uses) = match tokio::try_join!(
            store.pipes().hungry(),
            store.partitions().uses()
        ) {
            Ok(known) => known,
            Err(error) => {
                return tracing::warn!(%error, "cannot read which pipes need credit; jobs keep their shares until the next round");
            }
        };
        // What a pipe that nobody waited for has saved up is forgotten.
        buckets.retain(|name, _| pipes.iter().any(|pipe| pipe.pipe == *name));
        let mut books = Books::open(&uses, &pipes);
        // Jobs about jobs are held to no quotas.
        let mut free = Books::default();
        for pipe in pipes {
            let queue = Queue::Pipe(pipe.pipe.clone());
            let depth = match self.relay.broker().depth(&queue).await {
                Ok(depth) => depth,
                Err(error) => {
                    tracing::warn!(%error, pipe = pipe.pipe, "cannot read the depth of a pipe; its jobs keep their shares until the next round");
                    continue;
                }
            };
            let now = store.now();
            let bucket = pipe.limits.per_second.map(|per_second| {
                let bucket = buckets.entry(pipe.pipe.clone());
                let bucket = bucket.or_insert_with(|| Bucket::new(now - ROUND_US));
                let whole = bucket.fill(per_second, now);
                (bucket, whole)
            });
            let books = match pipe.pipe == JOBS {
                true => &mut free,
                false => &mut books,
            };
            let shares = shares(&pipe, credit(&pipe, depth), books, bucket, turn);
            for some in shares.chunks(TOGETHER).take(CHANGES / TOGETHER) {
                match store.set_shares(some).await {
                    Ok(committed) => self.relay.publish(committed).await,
                    Err(error) => {
                        tracing::warn!(%error, "cannot store new shares; the jobs keep their old ones until the next round")
                    }
                }
            }
        }
    }
}

/// Whether a rate differs by a tenth from what was published, or began, or ended.
fn moved(published: &BTreeMap<String, f64>, rates: &BTreeMap<String, f64>) -> bool {
    let near = |(pipe, rate): (&String, &f64)| {
        published
            .get(pipe)
            .is_some_and(|before| (before - rate).abs() <= before / 10.0)
    };
    published.len() != rates.len() || !rates.iter().all(near)
}

/// How many items of the hungry jobs may be in a pipe and at its workers.
///
/// What workers hold does not count against what may wait: else handlers that take long, of which
/// many run at once, would leave their pipe with less credit than they have slots.
fn credit(pipe: &PipeShare, depth: Depth) -> u64 {
    let consumers = depth.consumers.max(1) as f64;
    let waiting = match pipe.rate {
        rate if rate > 0.0 => (rate * SECONDS).max(PER_CONSUMER * consumers),
        _ => UNKNOWN.max(PER_CONSUMER * consumers),
    };
    let items: f64 = pipe.jobs.iter().map(|job| job.in_flight as f64).sum();
    let messages: f64 = pipe
        .jobs
        .iter()
        .map(|job| job.in_flight as f64 / job.items_per_message.max(1) as f64)
        .sum();
    if messages < 1.0 {
        return waiting as u64;
    }
    // Reports that were not read yet look like items that workers hold; workers hold no more than
    // they prefetch.
    let held = (messages - depth.ready as f64).clamp(0.0, HELD_PER_CONSUMER * consumers);
    (waiting + held * items / messages) as u64
}

#[cfg(test)]
mod tests {
    use headway_domain::pipes::PipeLimits;
    use headway_store::HungryJob;

    use super::*;

    fn job(in_flight: i64, items_per_message: i64) -> HungryJob {
        HungryJob {
            job_key: 1,
            partition_id: "a".to_owned(),
            allowance: 1,
            in_flight,
            delayed: 0,
            items_per_message,
            priority: 4,
            max_in_flight: 10_000,
            ready: 10_000,
            endless: true,
            reopening: false,
            tokens: None,
        }
    }

    fn pipe(rate: f64, jobs: Vec<HungryJob>) -> PipeShare {
        PipeShare {
            pipe: "p".into(),
            rate,
            limits: PipeLimits::default(),
            reserved: 0,
            jobs,
        }
    }

    fn depth(ready: u64, consumers: u64) -> Depth {
        Depth { ready, consumers }
    }

    #[test]
    fn slow_pipes_keep_their_consumers_fed() {
        assert_eq!(credit(&pipe(1.0, vec![job(0, 1)]), depth(0, 3)), 96);
        assert_eq!(credit(&pipe(1.0, vec![job(0, 1)]), depth(0, 0)), 32);
        assert_eq!(credit(&pipe(8000.0, vec![job(0, 1)]), depth(0, 1)), 4000);
    }

    #[test]
    fn a_pipe_that_has_not_moved_yet_keeps_what_it_began_with() {
        assert_eq!(credit(&pipe(0.0, vec![job(0, 1)]), depth(0, 1)), 128);
    }

    #[test]
    fn what_workers_hold_does_not_count_against_what_may_wait() {
        // 256 handlers of ten seconds each: 26 items a second, and all that was sent is in their
        // hands.
        let busy = |in_flight| job(in_flight, 1);
        assert_eq!(credit(&pipe(26.0, vec![busy(128)]), depth(0, 1)), 160);
        // Once the slots are full, the rest waits, and the credit rests.
        assert_eq!(credit(&pipe(26.0, vec![busy(288)]), depth(32, 1)), 288);
        // What is not with the workers cannot be in their hands: reports wait to be read.
        assert_eq!(credit(&pipe(26.0, vec![busy(9000)]), depth(0, 1)), 1056);
    }

    #[test]
    fn messages_of_many_items_are_counted_as_such() {
        // Of 20 messages 15 wait.
        assert_eq!(
            credit(&pipe(1000.0, vec![job(2000, 100)]), depth(15, 1)),
            1000
        );
    }

    #[test]
    fn rates_are_published_when_they_move() {
        let at = |rate| BTreeMap::from([("p".to_owned(), rate)]);
        assert!(!moved(&at(100.0), &at(109.0)) && !moved(&BTreeMap::new(), &BTreeMap::new()));
        assert!(moved(&at(100.0), &at(111.0)));
        assert!(moved(&at(100.0), &BTreeMap::new()) && moved(&BTreeMap::new(), &at(1.0)));
    }
}
