//! The loop of one shard: takes what workers reported in micro-batches, applies each in one
//! transaction, commits, acknowledges, and only then publishes what it caused; and fires timers,
//! and leases once the reports up to their end are applied.

use std::time::Duration;

use headway_broker::{BrokerError, Consumer, Delivery, DeliveryTag, Queue};
use headway_domain::{JobUid, Micros, reports::PageReport};
use headway_relay::codec::decode_reports;
use headway_retry::{Backoff, retry};
use headway_store::{Committed, NextDue, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    hearing::Hearing,
    intake::{self, Intake},
};
use crate::tracker::Tracker;

/// The least time between two transactions of a busy shard: about 20 a second, so that the rows of
/// a busy job are not rewritten more often than anybody looks.
const BUSY: Duration = Duration::from_millis(40);
/// So often reports of a job that others hold are left for the next transaction; then they wait for
/// their turn.
const PATIENCE: u32 = 3;
/// The pause before a lease that is over, and did not end, is looked at again.
const LEASE_REST: Duration = Duration::from_millis(250);
/// How long the reports that wait at the end of the process may take.
const LAST_REPORTS: Duration = Duration::from_secs(2);
/// A batch of this many reported pages makes the shard busy.
const LOAD: usize = 8;

/// A shard's state between two transactions.
struct Shard {
    number: u16,
    /// Reports of jobs that another transaction held: taken again with the next batch.
    left: Vec<PageReport>,
    /// Deliveries that wait for `left`.
    held: Vec<Held>,
    /// Transactions in a row that left something.
    leaving: u32,
    /// Fences that came back and wait for `left`.
    fences: Vec<Uuid>,
    hearing: Hearing,
    next_due: NextDue,
    /// When this loop changed timers or leases last.
    changed: Instant,
    /// Timers and leases do not fire before this time: what is overdue belongs to a job that
    /// another transaction holds.
    rests_until: Micros,
    busy_until: Option<Instant>,
}

impl Shard {
    fn new(number: u16) -> Self {
        Self {
            number,
            left: Vec::new(),
            held: Vec::new(),
            leaving: 0,
            fences: Vec::new(),
            hearing: Hearing::new(number),
            next_due: NextDue::default(),
            changed: Instant::now(),
            rests_until: 0,
            busy_until: None,
        }
    }

    /// When a timer or lease is to be fired next. A lease that is over but not heard of waits for a
    /// fence.
    fn fires_at(&self, now: Micros) -> Option<Micros> {
        let lease = self.next_due.lease;
        let lease = lease.filter(|at| *at > now || self.hearing.reaches(*at));
        let first = [self.next_due.timer, lease].into_iter().flatten().min();
        first.map(|at| at.max(self.rests_until))
    }
}

/// Without an answer no timer fires; the next look asks again.
fn known(shard: u16, due: Result<NextDue, StoreError>) -> NextDue {
    due.unwrap_or_else(|error| {
        tracing::warn!(%error, shard, "cannot read the timers of a shard; trying again at the next look");
        NextDue::default()
    })
}

impl Tracker {
    /// Tracks one shard until `stop` or the process stops.
    pub(crate) async fn shard(self, number: u16, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        while !stop.is_cancelled() && !self.shutdown.is_cancelled() {
            let prefetch = Intake::default().prefetch();
            match self
                .relay
                .broker()
                .consume(&Queue::Reports(number), prefetch)
                .await
            {
                Ok(consumer) => {
                    self.heard.begin(number);
                    self.looks.begin(number).await;
                    let tracked = self.track(number, consumer, &stop).await;
                    self.looks.end(number).await;
                    self.heard.end(number);
                    if tracked.is_err() {
                        return;
                    }
                }
                Err(BrokerError::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, shard = number, "cannot consume the reports of a shard; trying again");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        _ = backoff.pause(&self.shutdown) => {}
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
        let mut shard = Shard::new(number);
        let mut intake = Intake::default();
        shard.next_due = self.read_next_due(number).await;
        let mut look = self.looks.ticks();
        loop {
            let due = self.until(shard.fires_at(self.relay.store().now()));
            let deliveries = tokio::select! {
                biased;
                () = stop.cancelled() => return self.finish(&mut shard, &mut consumer, intake.batch()).await,
                () = self.shutdown.cancelled() => return self.finish(&mut shard, &mut consumer, intake.batch()).await,
                _ = look.tick() => {
                    shard.next_due = self.look(number, shard.changed).await;
                    Vec::new()
                }
                () = due => Vec::new(),
                () = shard.hearing.published() => Vec::new(),
                () = tokio::time::sleep(BUSY / 4), if !shard.left.is_empty() => Vec::new(),
                deliveries = self.gather(&mut consumer, intake.batch(), shard.busy_until) => deliveries?,
            };
            let prefetch = intake.adapt(&deliveries);
            for deliveries in intake::groups(deliveries) {
                if deliveries.is_empty() && shard.left.is_empty() {
                    continue;
                }
                let Some(done) = self.apply(&mut shard, deliveries).await else {
                    return Ok(());
                };
                acker.ack(&done.tags).await;
                if !done.dead.is_empty() {
                    acker.reject(&done.dead, false).await;
                }
                self.relay.publish(done.committed).await;
            }
            // Not a part of the select: a subscription that is being replaced must not be left
            // half-way.
            if let Some(prefetch) = prefetch
                && let Err(error) = consumer.set_prefetch(prefetch).await
            {
                tracing::debug!(%error, shard = number, "cannot set the prefetch; it is set when the consumer reconnects");
            }
            self.fire_due(&mut shard).await;
        }
    }

    /// When the process ends, applies what workers reported until then: pipes inside the process
    /// end with it. A shard that another process has claimed is left to that process.
    async fn finish(
        &self,
        shard: &mut Shard,
        consumer: &mut Box<dyn Consumer>,
        batch: usize,
    ) -> Result<(), BrokerError> {
        let deadline = Instant::now() + LAST_REPORTS;
        while self.shutdown.is_cancelled() && Instant::now() < deadline {
            let waiting = tokio::time::timeout(Duration::ZERO, consumer.next(batch));
            let deliveries = waiting.await.unwrap_or_else(|_| Ok(Vec::new()))?;
            if deliveries.is_empty() && shard.left.is_empty() {
                break;
            }
            let Some(done) = self.apply(shard, deliveries).await else {
                break;
            };
            consumer.acker().ack(&done.tags).await;
            if !done.dead.is_empty() {
                consumer.acker().reject(&done.dead, false).await;
            }
            self.relay.publish(done.committed).await;
        }
        Ok(())
    }

    /// Fires what is due, and asks for a fence where a lease, or another task, needs to know what
    /// was reported by now.
    async fn fire_due(&self, shard: &mut Shard) {
        let now = self.relay.store().now();
        let unheard = |at: Micros| at <= now && !shard.hearing.reaches(at);
        if shard.next_due.lease.is_some_and(unheard) || self.heard.wanted(shard.number).is_some() {
            shard.hearing.ask(self.relay.broker(), now);
        }
        if shard.fires_at(now).is_some_and(|at| at <= now) {
            self.fire(shard).await;
        }
    }

    /// The next deliveries; under load those of a while, so that transactions grow instead of
    /// multiplying. Cancel-safe: it holds no delivery while it waits.
    async fn gather(
        &self,
        consumer: &mut Box<dyn Consumer>,
        most: usize,
        busy_until: Option<Instant>,
    ) -> Result<Vec<Delivery>, BrokerError> {
        if let Some(until) = busy_until {
            tokio::time::sleep_until(until).await;
        }
        consumer.next(most).await
    }

    async fn until(&self, due: Option<Micros>) {
        let Some(due) = due else {
            return std::future::pending().await;
        };
        let left = u64::try_from(due - self.relay.store().now()).unwrap_or(0);
        tokio::time::sleep(Duration::from_micros(left)).await;
    }

    /// Looks at the shard's timers and leases, together with the process's other shards where that
    /// is enough.
    async fn look(&self, number: u16, changed: Instant) -> NextDue {
        let store = self.relay.store();
        known(number, self.looks.next_due(store, number, changed).await)
    }

    async fn read_next_due(&self, number: u16) -> NextDue {
        known(number, self.relay.store().next_due(number).await)
    }

    async fn fire(&self, shard: &mut Shard) {
        // Times are positive: without a fence no lease ends.
        let heard = shard.hearing.until().unwrap_or(0);
        loop {
            match self.relay.store().fire_items(shard.number, heard).await {
                Ok((committed, more)) => {
                    self.relay.publish(committed).await;
                    if !more {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, shard = shard.number, "cannot fire the timers of a shard; trying again soon");
                    break;
                }
            }
        }
        shard.changed = Instant::now();
        shard.next_due = self.read_next_due(shard.number).await;
        let now = self.relay.store().now();
        // A lease that did not end now has time: its job is locked, or the clock has jumped.
        let stays = |at: Micros| at <= now && shard.hearing.reaches(at);
        let rest = match shard.next_due.lease.is_some_and(stays) {
            true => LEASE_REST,
            false => BUSY,
        };
        shard.rests_until = now + i64::try_from(rest.as_micros()).unwrap_or(0);
    }

    /// Applies a micro-batch. `None` when the process stops before the database answers.
    async fn apply(&self, shard: &mut Shard, deliveries: Vec<Delivery>) -> Option<Done> {
        let mut reports = std::mem::take(&mut shard.left);
        let mut held = std::mem::take(&mut shard.held);
        let mut dead = Vec::new();
        let mut asked = false;
        for delivery in deliveries {
            let tag = delivery.tag;
            match decode_reports(delivery.body) {
                Ok(message) => {
                    if message.heartbeat {
                        self.renew(message.session).await?;
                    }
                    asked |= message.asks_held;
                    let now = self.relay.store().now();
                    self.fences.returned(&message.fences, now);
                    shard.fences.extend(message.fences);
                    let pages = message.pages.iter();
                    held.push(Held {
                        tag,
                        pages: pages.map(|report| (report.job, report.page)).collect(),
                    });
                    reports.extend(message.pages);
                }
                // Nothing tells what it was about: repair finds the items that it spoke of.
                Err(error) => {
                    tracing::error!(%error, shard = shard.number, "cannot decode a report; it becomes a dead letter");
                    dead.push(tag);
                }
            }
        }
        if asked {
            self.broadcast_controls().await;
        }
        let load = reports.len();
        let applied = self
            .apply_insisting(reports, shard.leaving >= PATIENCE)
            .await?;
        shard.changed = Instant::now();
        // Timer or lease: to look too early costs a look.
        let timers = [shard.next_due.timer, applied.next_due];
        shard.next_due.timer = timers.into_iter().flatten().min();
        shard.busy_until = (load >= LOAD).then(|| Instant::now() + BUSY);
        // What cannot be applied is not acknowledged: its message waits as a dead letter.
        for held in held.extract_if(.., |held| held.speaks_of(&applied.aside)) {
            dead.push(held.tag);
        }
        if applied.left.is_empty() {
            shard.leaving = 0;
            let fences = std::mem::take(&mut shard.fences);
            if shard.hearing.returned(&fences) {
                self.heard.set(shard.number, shard.hearing.until());
            }
            return Some(Done {
                tags: held.iter().map(|held| held.tag).collect(),
                dead,
                committed: applied.committed,
            });
        }
        // Some deliveries hold reports that are not applied: none of this batch is acknowledged
        // before they are.
        shard.leaving += 1;
        shard.left = applied.left;
        shard.held = held;
        Some(Done {
            tags: Vec::new(),
            dead,
            committed: applied.committed,
        })
    }

    /// Tells every worker of the jobs that are held. Nothing rests on it: a worker that hears
    /// nothing runs what it meets.
    async fn broadcast_controls(&self) {
        match self.relay.store().paused_or_ended_jobs().await {
            Ok(controls) => {
                let committed = Committed {
                    controls,
                    ..Committed::default()
                };
                self.relay.publish(committed).await;
            }
            Err(error) => {
                tracing::warn!(%error, "cannot tell workers which jobs are paused or cancelled; their items may run")
            }
        }
    }

    async fn renew(&self, session: uuid::Uuid) -> Option<()> {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let renew = || self.relay.store().renew_leases(session);
        // An unrenewed lease ends, and its item runs twice: rather everything waits.
        let renewed = retry(backoff, &self.shutdown, renew, |error| {
            tracing::warn!(%error, "cannot renew the leases of a worker; the shard waits and tries again");
            true
        });
        renewed.await.ok().map(|_| ())
    }
}

/// A delivery and what it speaks of.
struct Held {
    tag: DeliveryTag,
    pages: Vec<(JobUid, u32)>,
}

impl Held {
    fn speaks_of(&self, pages: &[(JobUid, u32)]) -> bool {
        !pages.is_empty() && self.pages.iter().any(|page| pages.contains(page))
    }
}

/// A micro-batch that is committed.
struct Done {
    /// To be acknowledged.
    tags: Vec<DeliveryTag>,
    /// To be dead-lettered.
    dead: Vec<DeliveryTag>,
    committed: Committed,
}
