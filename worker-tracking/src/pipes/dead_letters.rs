//! Dead letters: what the broker gave up ends as a failure with a reason, never in silence. A dead
//! letter that cannot be applied now stays in its queue and is tried again.

use std::time::Duration;

use headway_broker::{BrokerError, Delivery, Queue};
use headway_domain::{
    JobUid,
    reports::{Failed, ItemEvent, ItemReport, PageReport, code},
};
use headway_relay::codec::{BatchWork, decode_batch, decode_dead_task, decode_reports};
use headway_retry::{Backoff, RetryError, retry};
use headway_store::StoreError;
use uuid::Uuid;

use crate::tracker::Tracker;

const PREFETCH: u16 = 64;
/// Dead letters that wait for their next try at most; then no more are taken until one of them is
/// applied.
const MAX_WAITING: usize = 48;
/// A dead letter that cannot be applied is tried again after this many sweeps, half a minute as
/// configured.
const RETRY_SWEEPS: u32 = 30;
const GAVE_UP: &str = "the message broker gave the message up after too many deliveries";

impl Tracker {
    /// Works dead letters off until shutdown.
    pub(crate) async fn dead_letters(self) -> anyhow::Result<()> {
        let tasks = self.consume_dead(Queue::DeadTasks);
        let system = self.consume_dead(Queue::DeadSystem);
        tokio::join!(tasks, system);
        Ok(())
    }

    async fn consume_dead(&self, queue: Queue) {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let consume = || self.relay.broker().consume(&queue, PREFETCH);
        let consuming = retry(backoff, &self.shutdown, consume, |error| {
            if *error == BrokerError::Closed {
                return false;
            }
            tracing::warn!(%error, ?queue, "cannot consume dead letters; trying again");
            true
        });
        let Ok(mut consumer) = consuming.await else {
            return;
        };
        let acker = consumer.acker();
        let mut waiting: Vec<Delivery> = Vec::new();
        let mut again = tokio::time::interval(self.config.sweep_interval * RETRY_SWEEPS);
        loop {
            let room = MAX_WAITING.saturating_sub(waiting.len());
            let deliveries = tokio::select! {
                () = self.shutdown.cancelled() => return,
                _ = again.tick() => std::mem::take(&mut waiting),
                deliveries = consumer.next(room), if room > 0 => match deliveries {
                    Ok(deliveries) => {
                        if let Some(newest) = deliveries.last() {
                            // After a reconnect the broker delivers the older ones again.
                            let generation = newest.tag.generation;
                            waiting.retain(|old| old.tag.generation == generation);
                        }
                        deliveries
                    }
                    Err(_) => return,
                },
            };
            for delivery in deliveries {
                match self.bury(&queue, &delivery).await {
                    Buried::Done => acker.ack(&[delivery.tag]).await,
                    Buried::Waits => waiting.push(delivery),
                    Buried::Stopping => return,
                }
            }
        }
    }

    /// Records what a dead letter was about.
    async fn bury(&self, queue: &Queue, delivery: &Delivery) -> Buried {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        let bury = async || match queue {
            Queue::DeadTasks => self.bury_task(delivery).await,
            _ => self.bury_system(delivery).await,
        };
        let burying = retry(backoff, &self.shutdown, bury, |error| {
            let passes = error.is_passing();
            if passes {
                tracing::warn!(%error, ?queue, "cannot record a dead letter; trying again");
            }
            passes
        });
        match burying.await {
            Ok(buried) => buried,
            Err(RetryError::Stopped) => Buried::Stopping,
            Err(RetryError::Lasting(error)) => {
                tracing::error!(%error, ?queue, "cannot record a dead letter; trying again later");
                Buried::Waits
            }
        }
    }

    async fn bury_task(&self, delivery: &Delivery) -> Result<Buried, StoreError> {
        match decode_dead_task(delivery.body.clone()) {
            Ok(report) => Ok(self.report(vec![report]).await),
            Err(error) => {
                tracing::error!(%error, "cannot decode a dead task message; dropping it");
                Ok(Buried::Done)
            }
        }
    }

    async fn bury_system(&self, delivery: &Delivery) -> Result<Buried, StoreError> {
        if let Ok(work) = decode_batch(delivery.body.clone()) {
            return self.bury_batch(work).await;
        }
        match decode_reports(delivery.body.clone()) {
            // It was delivered too often, or could not be applied beside others: by itself.
            Ok(reports) => Ok(self.report(reports.pages).await),
            Err(error) => {
                // Repair sends the items again that it spoke of.
                let bytes = delivery.body.len();
                tracing::error!(%error, bytes, "cannot decode a dead system message; dropping it");
                Ok(Buried::Done)
            }
        }
    }

    async fn bury_batch(&self, work: BatchWork) -> Result<Buried, StoreError> {
        let store = self.relay.store();
        match work {
            BatchWork::Split { uid, page, attempt } => {
                let failure = Failed::lasting(code::DEAD_LETTERED, GAVE_UP);
                let committed = store
                    .record_split_failure(uid, page, attempt, failure)
                    .await?;
                self.relay.publish(committed).await;
                Ok(Buried::Done)
            }
            BatchWork::Dispatch { uid, page, indexes } => {
                self.bury_items(uid, page, &indexes).await
            }
            // Another is sent where one is still needed.
            BatchWork::Fence { .. } => Ok(Buried::Done),
        }
    }

    async fn bury_items(
        &self,
        uid: JobUid,
        page: u32,
        indexes: &[u32],
    ) -> Result<Buried, StoreError> {
        let Some(plan) = self.relay.store().plan_dispatch(uid, page, indexes).await? else {
            return Ok(Buried::Done);
        };
        self.relay.publish(plan.committed).await;
        let items = plan.items.into_iter().map(|item| ItemReport {
            index: item.index,
            attempt: item.attempt,
            stage: item.stage,
            event: ItemEvent::Failed(Failed::lasting(code::DEAD_LETTERED, GAVE_UP)),
        });
        let report = PageReport {
            job: uid,
            page,
            run: plan.run,
            done: Vec::new(),
            items: items.collect(),
            session: Uuid::nil(),
            worker: String::new(),
        };
        Ok(self.report(vec![report]).await)
    }

    async fn report(&self, reports: Vec<PageReport>) -> Buried {
        let Some(applied) = self.apply_insisting(reports, true).await else {
            return Buried::Stopping;
        };
        self.relay.publish(applied.committed).await;
        match applied.aside.is_empty() {
            true => Buried::Done,
            false => Buried::Waits,
        }
    }
}

/// What became of a dead letter.
enum Buried {
    /// It is recorded, or there is nothing to record: it is acknowledged.
    Done,
    /// It cannot be recorded now: it is tried again later.
    Waits,
    /// The process stops first.
    Stopping,
}
