//! The coordinator of one worker: one task that owns every delivery from its receipt to its
//! acknowledgement. A [`Runner`] runs the items; this loop never runs one and never waits for one.
//!
//! The order that nothing may change: an outcome is gathered into a report, the report is
//! published, the broker confirms it ([`crate::confirm::Confirmed`]), the ledger settles it, and
//! only then is the delivery acknowledged.

mod admit;
mod alone;
mod announced;
mod finish;
mod lease;
mod published;
mod shutdown;
mod waiting;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use headway::wire::ControlMessage;
use headway_broker::{Acker, Broker, BrokerError, Consumer, Outgoing};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::confirm;
use crate::envelope::ProgressInbox;
use crate::error::WorkerError;
use crate::ledger::Ledger;
use crate::prefetch::{Observed, Prefetch};
use crate::queue::RunQueue;
use crate::report::{Gatherer, Reporter};
use crate::runner::{Finished, Runner};
use crate::status::StatusCache;
use published::{Published, Recorded};
use waiting::{Alone, Announced};

/// How many publishes may wait for their confirms at once. More outcomes are gathered meanwhile.
const PUBLISHES: usize = 8;
/// How many deliveries are taken at once.
const RECEIVE: usize = 1024;
/// How often the prefetch is adapted.
const ADAPT_EVERY: Duration = Duration::from_millis(100);
/// How often changed fractions are reported.
const FRACTIONS_EVERY: Duration = Duration::from_millis(250);
/// The pause after the broker failed to deliver.
const RECEIVE_PAUSE: Duration = Duration::from_millis(200);

/// What an engine runs with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where reports and results go.
    pub broker: Arc<dyn Broker>,
    /// Who reports.
    pub reporter: Reporter,
    /// How many items the runner runs at once.
    pub concurrency: usize,
    /// Of how many jobs the newest status is remembered.
    pub status_capacity: usize,
    /// After how long an unfinished delivery becomes a lease.
    pub lease_after: Duration,
    /// How long a result is offered to a result pipe that refuses it.
    pub result_timeout: Duration,
    /// How often leases are renewed.
    pub heartbeat: Duration,
    /// How long running items may go on at the end.
    pub drain: Duration,
    /// How long items may go on after the drain time cancelled them.
    pub cancel_grace: Duration,
}

/// The coordinator. See the module's head.
pub(crate) struct Engine {
    settings: Settings,
    consumer: Box<dyn Consumer>,
    acker: Arc<dyn Acker>,
    /// Whether new deliveries are wanted.
    receiving: bool,
    /// No deliveries are asked for before this.
    receive_after: Option<Instant>,
    controls: mpsc::Receiver<ControlMessage>,
    finished: mpsc::Receiver<Vec<Finished>>,
    queue: Arc<RunQueue>,
    /// The runner's tasks.
    tasks: JoinSet<()>,
    /// Items pushed to the queue that neither finished nor were taken back.
    dispatched: usize,
    alone: Alone,
    announced: Announced,
    ledger: Ledger,
    statuses: StatusCache,
    gatherer: Gatherer,
    /// Outcomes whose results have to be confirmed first, with those results.
    results: Vec<(Outgoing, Recorded)>,
    /// Result pipes that results are published to now.
    delivering: HashSet<String>,
    /// Result pipes that did not take their last results.
    undelivered: HashSet<String>,
    publishing: FuturesUnordered<BoxFuture<'static, Result<Published, BrokerError>>>,
    heartbeats: usize,
    progress: Arc<ProgressInbox>,
    fractions_due: Option<Instant>,
    prefetch: Prefetch,
    /// How many more deliveries may be held for those that wait to run alone, so that these hold up
    /// no others.
    held_alone: u16,
    /// The prefetch that the consumer does not have yet.
    wanted_prefetch: Option<u16>,
    seen: Observed,
    adapted: Instant,
    ticks: Ticks,
}

struct Ticks {
    adapt: Interval,
    lease: Interval,
    heartbeat: Interval,
}

impl Ticks {
    fn new(settings: &Settings) -> Self {
        let every = |period: Duration| {
            let period = period.max(Duration::from_millis(1));
            let mut interval = tokio::time::interval_at(Instant::now() + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        Self {
            adapt: every(ADAPT_EVERY),
            // A lease begins at most a tenth late.
            lease: every(settings.lease_after / 10),
            heartbeat: every(settings.heartbeat),
        }
    }
}

impl Engine {
    /// Starts the runner. Deliveries come once it runs.
    pub(crate) fn new(
        settings: Settings,
        runner: impl Runner,
        consumer: Box<dyn Consumer>,
        controls: mpsc::Receiver<ControlMessage>,
    ) -> Self {
        let queue = Arc::new(RunQueue::default());
        let mut tasks = JoinSet::new();
        let finished = runner.start(queue.clone(), &mut tasks);
        Self {
            acker: consumer.acker(),
            consumer,
            receiving: true,
            receive_after: None,
            controls,
            finished,
            queue,
            tasks,
            dispatched: 0,
            alone: Alone::default(),
            announced: Announced::default(),
            ledger: Ledger::default(),
            statuses: StatusCache::new(settings.status_capacity),
            gatherer: Gatherer::default(),
            results: Vec::new(),
            delivering: HashSet::new(),
            undelivered: HashSet::new(),
            publishing: FuturesUnordered::new(),
            heartbeats: 0,
            progress: Arc::new(ProgressInbox::default()),
            fractions_due: None,
            prefetch: Prefetch::new(settings.concurrency),
            held_alone: 0,
            wanted_prefetch: None,
            seen: Observed::default(),
            adapted: Instant::now(),
            ticks: Ticks::new(&settings),
            settings,
        }
    }

    /// Works until `shutdown` is cancelled, then drains.
    ///
    /// # Errors
    /// When the broker was closed meanwhile, or a task of the runner died.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let cancelled = shutdown.cancelled_owned();
        let mut cancelled = std::pin::pin!(cancelled);
        loop {
            tokio::select! {
                () = cancelled.as_mut() => break,
                stepped = self.step() => stepped?,
            }
            // Not a part of the step: a subscription that is being replaced must not be left
            // half-way.
            if let Some(prefetch) = self.wanted_prefetch.take() {
                self.change_prefetch(prefetch).await?;
            }
        }
        self.drain().await
    }

    /// Waits for the next thing to happen and handles it. Dropping the future loses nothing: what
    /// happened is handled without a wait in which it could be dropped, but for acknowledgements,
    /// whose loss is a redelivery.
    async fn step(&mut self) -> Result<(), WorkerError> {
        let flush_at = self.gatherer.due().filter(|_| self.can_publish());
        let consumer = &mut self.consumer;
        let receive_after = self.receive_after;
        let received = async move {
            if let Some(pause) = receive_after {
                tokio::time::sleep_until(pause).await;
            }
            consumer.next(RECEIVE).await
        };
        tokio::select! {
            Some(batch) = self.finished.recv() => self.on_finished(batch),
            Some(published) = self.publishing.next(), if !self.publishing.is_empty() => {
                self.on_published(published?).await;
            }
            Some(message) = self.controls.recv() => self.on_control(&message),
            deliveries = received, if self.receiving => match deliveries {
                Ok(deliveries) => {
                    self.receive_after = None;
                    self.on_deliveries(deliveries).await;
                }
                Err(BrokerError::Closed) => return Err(BrokerError::Closed.into()),
                Err(error) => {
                    tracing::warn!(%error, "cannot receive deliveries; trying again");
                    self.receive_after = Some(Instant::now() + RECEIVE_PAUSE);
                }
            },
            () = sleep_until(flush_at) => {}
            () = sleep_until(self.alone.next_turn()) => {}
            () = sleep_until(self.fractions_due) => self.on_fractions(),
            () = self.progress.arrivals.notified(), if self.fractions_due.is_none() => {
                self.fractions_due = Some(Instant::now() + FRACTIONS_EVERY);
            }
            Some(_) = self.tasks.join_next() => return Err(WorkerError::Executor),
            _ = self.ticks.lease.tick() => self.on_lease_tick(),
            _ = self.ticks.heartbeat.tick() => self.on_heartbeat_tick(),
            _ = self.ticks.adapt.tick() => self.on_adapt_tick(),
        }
        self.advance_alone();
        self.advance_announced();
        self.flush();
        Ok(())
    }

    fn can_publish(&self) -> bool {
        self.publishing.len() < PUBLISHES
    }

    /// Whether everything that ended is confirmed.
    fn all_on_record(&self) -> bool {
        self.gatherer.is_empty()
            && self.results.is_empty()
            && self.publishing.len() <= self.heartbeats
    }

    /// Items in the hands of the runner.
    fn running(&self) -> usize {
        self.dispatched.saturating_sub(self.queue.len())
    }

    /// Publishes what has waited long enough, or at once if nothing else is about to be gathered.
    fn flush(&mut self) {
        self.flush_results();
        let now = Instant::now();
        while self.can_publish() && !self.gatherer.is_empty() {
            let due = self.gatherer.due().is_some_and(|due| due <= now);
            let waited_for = self.dispatched == 0 || self.alone.has_turn();
            if !(self.gatherer.is_full() || due || waited_for) {
                return;
            }
            let Some(batch) = self.gatherer.take(&self.settings.reporter) else {
                return;
            };
            let broker = self.settings.broker.clone();
            self.publishing.push(Box::pin(async move {
                let confirmed =
                    confirm::publish(broker.as_ref(), batch.messages, batch.settlements).await?;
                Ok(Published::Report(confirmed))
            }));
        }
        if self.ledger.unacknowledged() >= usize::from(self.prefetch.current() + self.held_alone)
            && self.queue.len() == 0
        {
            self.seen.starved = true;
        }
    }

    async fn on_published(&mut self, published: Published) {
        match published {
            Published::Report(confirmed) => {
                let tags = self.ledger.settle(confirmed);
                if !tags.is_empty() {
                    self.acker.ack(&tags).await;
                }
            }
            Published::Results(pipe, delivered) => self.on_results(&pipe, delivered),
            Published::Started(confirmed) => self.on_started(confirmed),
            Published::Fence(tag) => self.acker.ack(&[tag]).await,
            Published::Heartbeat => self.heartbeats = self.heartbeats.saturating_sub(1),
        }
    }

    fn on_adapt_tick(&mut self) {
        let now = Instant::now();
        let mut seen = std::mem::take(&mut self.seen);
        seen.elapsed = now.saturating_duration_since(self.adapted);
        seen.longest_wait = self.queue.take_longest_wait(now);
        self.adapted = now;
        let adapted = self.prefetch.adapt(seen).is_some();
        let held_alone = self.alone.room();
        if self.receiving && (adapted || held_alone != self.held_alone) {
            self.held_alone = held_alone;
            self.wanted_prefetch = Some(self.prefetch.current() + held_alone);
        }
    }

    async fn change_prefetch(&mut self, prefetch: u16) -> Result<(), WorkerError> {
        match self.consumer.set_prefetch(prefetch).await {
            Err(BrokerError::Closed) => Err(BrokerError::Closed.into()),
            Err(error) => {
                tracing::debug!(%error, prefetch, "cannot set the prefetch; it is set when the consumer reconnects");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

/// Waits until then, or forever.
async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when).await,
        None => std::future::pending().await,
    }
}
