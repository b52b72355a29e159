//! The loop of one shard: takes what workers reported in micro-batches, applies each in one
//! transaction, commits, acknowledges, and only then publishes what it caused; and fires timers once
//! the reports up to their time are applied.

use std::time::Duration;

use headway_broker::{BrokerError, Consumer, Delivery, DeliveryTag, Queue};
use headway_domain::{Micros, report::PageReport};
use headway_relay::envelope::decode_reports;
use headway_runtime::backoff::Backoff;
use headway_store::Committed;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::tracker::Tracker;

/// Report messages in one transaction at most.
const BATCH: usize = 512;
/// The least time between two transactions of a busy shard: about 20 a second, so that the rows of a
/// busy job are not rewritten more often than anybody looks.
const BUSY: Duration = Duration::from_millis(40);
/// So often reports of a job that others hold are left for the next transaction; then they wait for their turn.
const PATIENCE: u32 = 3;
/// A batch of so many reported pages makes the shard busy.
const LOAD: usize = 8;

/// A shard's state between two transactions.
struct Shard {
    number: u16,
    /// Reports of jobs that another transaction held: taken again with the next batch.
    left: Vec<PageReport>,
    /// Deliveries that wait for `left`.
    held: Vec<DeliveryTag>,
    /// Transactions in a row that left something.
    leaving: u32,
    next_due: Option<Micros>,
    busy_until: Option<Instant>,
}

impl Tracker {
    /// Tracks one shard until `stop` or the process stops.
    pub(crate) async fn shard(self, number: u16, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        while !stop.is_cancelled() && !self.shutdown.is_cancelled() {
            let prefetch = u16::try_from(BATCH * 2).unwrap_or(u16::MAX);
            match self
                .relay
                .broker()
                .consume(&Queue::Reports(number), prefetch)
                .await
            {
                Ok(consumer) => {
                    if self.track(number, consumer, &stop).await.is_err() {
                        return;
                    }
                }
                Err(BrokerError::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, shard = number, "cannot consume reports yet");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        _ = self.pause(backoff.next()) => {}
                    }
                }
            }
        }
    }

    async fn track(
        &self,
        number: u16,
        mut consumer: Box<dyn Consumer>,
        stop: &CancellationToken,
    ) -> Result<(), BrokerError> {
        let acker = consumer.acker();
        let mut shard = Shard {
            number,
            left: Vec::new(),
            held: Vec::new(),
            leaving: 0,
            next_due: None,
            busy_until: None,
        };
        let mut look = tokio::time::interval(self.config.sweep_interval);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let due = self.until(shard.next_due);
            let deliveries = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = self.shutdown.cancelled() => return Ok(()),
                _ = look.tick() => {
                    shard.next_due = self.read_next_due(number).await;
                    Vec::new()
                }
                () = due => Vec::new(),
                () = tokio::time::sleep(BUSY / 4), if !shard.left.is_empty() => Vec::new(),
                deliveries = self.gather(&mut consumer, shard.busy_until) => deliveries?,
            };
            let drained = deliveries.len() < BATCH && shard.left.is_empty();
            if !deliveries.is_empty() || !shard.left.is_empty() {
                let Some(done) = self.apply(&mut shard, deliveries).await else {
                    return Ok(());
                };
                acker.ack(&done.tags).await;
                self.relay.publish(done.committed).await;
            }
            if drained
                && shard
                    .next_due
                    .is_some_and(|due| due <= self.relay.store().now())
            {
                self.fire(&mut shard).await;
            }
        }
    }

    /// The next deliveries; under load those of a while, so that transactions grow instead of multiplying.
    /// Cancel-safe: it holds no delivery while it waits.
    async fn gather(
        &self,
        consumer: &mut Box<dyn Consumer>,
        busy_until: Option<Instant>,
    ) -> Result<Vec<Delivery>, BrokerError> {
        if let Some(until) = busy_until {
            tokio::time::sleep_until(until).await;
        }
        consumer.next(BATCH).await
    }

    async fn until(&self, due: Option<Micros>) {
        let Some(due) = due else {
            return std::future::pending().await;
        };
        let left = u64::try_from(due - self.relay.store().now()).unwrap_or(0);
        tokio::time::sleep(Duration::from_micros(left)).await;
    }

    async fn read_next_due(&self, number: u16) -> Option<Micros> {
        match self.relay.store().next_due(number).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, shard = number, "cannot read timers");
                None
            }
        }
    }

    async fn fire(&self, shard: &mut Shard) {
        loop {
            match self.relay.store().fire_items(shard.number).await {
                Ok((committed, more)) => {
                    self.relay.publish(committed).await;
                    if !more {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, shard = shard.number, "timers wait");
                    break;
                }
            }
        }
        let next = self.read_next_due(shard.number).await;
        // What is still overdue belongs to a job that another transaction holds: not at once again.
        let soon = self.relay.store().now() + i64::try_from(BUSY.as_micros()).unwrap_or(0);
        shard.next_due = next.map(|due| due.max(soon));
    }

    /// Applies a micro-batch. `None` when the process stops before the database answers.
    async fn apply(&self, shard: &mut Shard, deliveries: Vec<Delivery>) -> Option<Done> {
        let mut reports = std::mem::take(&mut shard.left);
        let mut tags = std::mem::take(&mut shard.held);
        let mut asked = false;
        for delivery in deliveries {
            tags.push(delivery.tag);
            match decode_reports(delivery.body) {
                Ok(message) => {
                    if message.heartbeat {
                        self.renew(message.session).await?;
                    }
                    asked |= message.asks_held;
                    reports.extend(message.pages);
                }
                // Nothing tells what it was about: repair finds the items that it spoke of.
                Err(error) => tracing::error!(%error, shard = shard.number, "dropping a report"),
            }
        }
        if asked {
            self.tell_held().await;
        }
        let load = reports.len();
        let applied = self
            .apply_insisting(reports, shard.leaving >= PATIENCE)
            .await?;
        shard.next_due = [shard.next_due, applied.next_due]
            .into_iter()
            .flatten()
            .min();
        shard.busy_until = (load >= LOAD).then(|| Instant::now() + BUSY);
        if applied.left.is_empty() {
            shard.leaving = 0;
            return Some(Done {
                tags,
                committed: applied.committed,
            });
        }
        // Some deliveries hold reports that are not applied: none of this batch is acknowledged before they are.
        shard.leaving += 1;
        shard.left = applied.left;
        shard.held = tags;
        Some(Done {
            tags: Vec::new(),
            committed: applied.committed,
        })
    }

    /// Tells every worker of the jobs that are held. Nothing rests on it: a worker that hears nothing runs what it meets.
    async fn tell_held(&self) {
        match self.relay.store().held_jobs().await {
            Ok(controls) => {
                let committed = Committed {
                    controls,
                    ..Committed::default()
                };
                self.relay.publish(committed).await;
            }
            Err(error) => tracing::warn!(%error, "workers are not told of held jobs"),
        }
    }

    async fn renew(&self, session: uuid::Uuid) -> Option<()> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            match self.relay.store().renew_leases(session).await {
                Ok(_) => return Some(()),
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, "waiting for the database")
                }
                Err(error) => {
                    tracing::error!(%error, "leases were not renewed");
                    return Some(());
                }
            }
            if !self.pause(backoff.next()).await {
                return None;
            }
        }
    }
}

/// A micro-batch that is committed.
struct Done {
    tags: Vec<DeliveryTag>,
    committed: Committed,
}
