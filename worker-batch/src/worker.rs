//! The consumer of batch messages: several at a time, each acknowledged only once all that it
//! caused is committed and confirmed.

use std::{pin::pin, sync::Arc, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use headway_broker::{Acker, BrokerError, Delivery, Outgoing, Queue};
use headway_relay::{
    Relay,
    codec::{BatchWork, decode_batch, encode_fence_task},
};
use headway_retry::Backoff;
use headway_splitters::Registry;
use headway_store::StoreError;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    children::Memory,
    pipes::Pipes,
    publish::{SLOW_BYTES, SLOW_DELIVERIES, Slot},
};

/// A splitter that takes longer gives up its slot.
const SLOW_SPLIT: Duration = Duration::from_millis(250);
/// Messages that wait for slow splitters without a slot.
const SLOW_SPLITS: u16 = 48;

/// How a batch worker works.
#[derive(Debug, Clone)]
pub struct BatchConfig {
    /// Messages worked on at once. Those that wait for a slow splitter or a slow pipe do not count.
    pub concurrency: u16,
    /// How long one page may take to split.
    pub split_timeout: Duration,
}

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            concurrency: 16,
            split_timeout: Duration::from_secs(60),
        }
    }
}

/// Splits pages and sends items; cheap to clone.
#[derive(Clone)]
pub struct BatchWorker {
    pub(crate) relay: Relay,
    pub(crate) registry: Arc<Registry>,
    pub(crate) config: BatchConfig,
    pub(crate) memory: Arc<Memory>,
    pub(crate) pipes: Arc<Pipes>,
    /// Kibibytes of messages that may wait for slow pipes without a slot.
    pub(crate) slow: Arc<Semaphore>,
    /// Messages that may wait for slow splitters without a slot.
    slow_splits: Arc<Semaphore>,
    /// The slot that this clone works in.
    pub(crate) slot: Slot,
    pub(crate) shutdown: CancellationToken,
}

/// Why a message could not be worked off now; its delivery goes back.
pub(crate) enum Interrupted {
    /// The process is stopping.
    Shutdown,
    /// The job was paused, cancelled, retried or deleted meanwhile: its message is to be read
    /// again.
    Changed,
    /// The database is away.
    Store(StoreError),
}

/// How the work on a message ended.
enum Ended {
    /// All that it caused is committed and confirmed.
    Done,
    /// The process stops first.
    Stopping,
    /// It cannot be worked off, now or later.
    Impossible,
}

impl From<StoreError> for Interrupted {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl BatchWorker {
    /// A worker that splits with these splitters until `shutdown`.
    pub fn new(
        relay: Relay,
        registry: Registry,
        config: BatchConfig,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            relay,
            registry: Arc::new(registry),
            config,
            memory: Arc::default(),
            pipes: Arc::default(),
            slow: Arc::new(Semaphore::new(SLOW_BYTES / 1024)),
            slow_splits: Arc::new(Semaphore::new(SLOW_SPLITS.into())),
            slot: Slot::default(),
            shutdown,
        }
    }

    /// Works until the shutdown token is cancelled; what is under way then is finished first.
    ///
    /// # Errors
    /// When the broker was closed under it.
    pub async fn run(self) -> anyhow::Result<()> {
        let concurrency = self.config.concurrency.max(1);
        let slots = Arc::new(Semaphore::new(concurrency.into()));
        let prefetch = concurrency
            .saturating_mul(2)
            .saturating_add(SLOW_DELIVERIES)
            .saturating_add(SLOW_SPLITS);
        let mut consumer = self.relay.broker().consume(&Queue::Batch, prefetch).await?;
        let acker = consumer.acker();
        let mut running = FuturesUnordered::new();
        loop {
            let room = slots.available_permits();
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => break,
                Some(()) = running.next(), if !running.is_empty() => {}
                // A slot may be given back while its message is still worked on.
                _ = slots.acquire(), if room == 0 => {}
                next = consumer.next(room.max(1)), if room > 0 => match next {
                    Ok(deliveries) => {
                        for delivery in deliveries {
                            let slot = Slot::new(slots.clone().try_acquire_owned().ok());
                            let worker = Self { slot, ..self.clone() };
                            running.push(worker.handle(delivery, acker.clone()));
                        }
                    }
                    Err(BrokerError::Closed) => break,
                    Err(error) => return Err(error.into()),
                },
            }
        }
        consumer.stop().await;
        while running.next().await.is_some() {}
        Ok(())
    }

    /// Waits for a splitter. One that takes long, as one whose source does not answer, gives up its
    /// slot to other messages, unless too many wait like that already.
    pub(crate) async fn wait_for_splitter<T>(&self, answer: impl Future<Output = T>) -> T {
        let mut answer = pin!(answer);
        if let Ok(answer) = tokio::time::timeout(SLOW_SPLIT, &mut answer).await {
            return answer;
        }
        let waiting = self.slow_splits.try_acquire();
        let _waiting = waiting.inspect(|_| self.slot.give_back());
        answer.await
    }

    async fn handle(self, delivery: Delivery, acker: Arc<dyn Acker>) {
        let work = match decode_batch(delivery.body) {
            Ok(work) => work,
            Err(error) => {
                tracing::error!(%error, "cannot decode a batch message; it becomes a dead letter");
                acker.reject(&[delivery.tag], false).await;
                return;
            }
        };
        match self.until_done(work).await {
            Ended::Done => acker.ack(&[delivery.tag]).await,
            Ended::Stopping => acker.reject(&[delivery.tag], true).await,
            Ended::Impossible => acker.reject(&[delivery.tag], false).await,
        }
    }

    /// Sends a fence on to a pipe. Tracking sends another one where it is lost. A pipe that takes
    /// long holds no slot.
    async fn send_fence(&self, pipe: &str, id: Uuid, shard: u16) {
        self.slot.give_back();
        let fence = Outgoing {
            queue: Queue::Pipe(pipe.to_owned()),
            body: encode_fence_task(id, shard),
        };
        for result in self.relay.broker().publish(vec![fence]).await {
            if let Err(error) = result {
                tracing::warn!(%error, pipe, "cannot publish a fence; tracking sends another one");
            }
        }
    }

    /// Works a message off, waiting while the database cannot store anything. When the process
    /// stops first it is tried once more: the database may be back since the last try, and what is
    /// left comes to others only after a redelivery.
    async fn until_done(&self, work: BatchWork) -> Ended {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            let stopping = self.shutdown.is_cancelled();
            let outcome = match &work {
                BatchWork::Split { uid, page, attempt } => {
                    self.split_page(*uid, *page, *attempt).await
                }
                BatchWork::Dispatch { uid, page, indexes } => {
                    self.dispatch_items(*uid, *page, indexes).await
                }
                BatchWork::Fence { pipe, id, shard } => {
                    self.send_fence(pipe, *id, *shard).await;
                    Ok(())
                }
            };
            match outcome {
                Ok(()) => return Ended::Done,
                Err(Interrupted::Shutdown) => return Ended::Stopping,
                Err(Interrupted::Changed) if stopping => return Ended::Stopping,
                Err(Interrupted::Changed) => continue,
                Err(Interrupted::Store(error)) if error.is_passing() => {
                    tracing::warn!(%error, ?work, "cannot process a batch message; trying again");
                }
                // It will be the same the next time. Tracking works dead letters off: the page or
                // its items fail.
                Err(Interrupted::Store(error)) => {
                    tracing::error!(%error, ?work, "cannot process a batch message; it becomes a dead letter");
                    return Ended::Impossible;
                }
            }
            if stopping {
                return Ended::Stopping;
            }
            // At shutdown one more try follows at once.
            backoff.pause(&self.shutdown).await;
        }
    }
}
