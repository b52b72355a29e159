//! Dead letters: what the broker gave up ends as a failure with a reason, never in silence.

use std::time::Duration;

use headway_broker::{BrokerError, Delivery, Queue};
use headway_domain::{
    JobUid,
    effect::{Failed, code},
    report::{ItemEvent, ItemReport, PageReport},
};
use headway_relay::envelope::{BatchWork, decode_batch, decode_dead_task, decode_reports};
use headway_runtime::backoff::Backoff;
use headway_store::StoreError;
use uuid::Uuid;

use crate::tracker::Tracker;

const PREFETCH: u16 = 64;
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
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            match self.relay.broker().consume(&queue, PREFETCH).await {
                Ok(mut consumer) => {
                    let acker = consumer.acker();
                    loop {
                        let deliveries = tokio::select! {
                            () = self.shutdown.cancelled() => return,
                            deliveries = consumer.next(usize::from(PREFETCH)) => deliveries,
                        };
                        let Ok(deliveries) = deliveries else { return };
                        for delivery in deliveries {
                            let tag = delivery.tag;
                            if !self.bury(&queue, delivery).await {
                                return;
                            }
                            acker.ack(&[tag]).await;
                        }
                    }
                }
                Err(BrokerError::Closed) => return,
                Err(error) => tracing::warn!(%error, ?queue, "cannot consume dead letters yet"),
            }
            if !self.pause(backoff.next()).await {
                return;
            }
        }
    }

    /// Records what a dead letter was about; `false` when the process stops first.
    async fn bury(&self, queue: &Queue, delivery: Delivery) -> bool {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            let outcome = match queue {
                Queue::DeadTasks => self.bury_task(&delivery).await,
                _ => self.bury_system(&delivery).await,
            };
            match outcome {
                Ok(done) => return done,
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, "waiting for the database")
                }
                Err(error) => {
                    tracing::error!(%error, ?queue, "dropping a dead letter");
                    return true;
                }
            }
            if !self.pause(backoff.next()).await {
                return false;
            }
        }
    }

    async fn bury_task(&self, delivery: &Delivery) -> Result<bool, StoreError> {
        match decode_dead_task(delivery.body.clone()) {
            Ok(report) => Ok(self.report(vec![report]).await),
            Err(error) => {
                tracing::error!(%error, "dropping a dead letter that is no task");
                Ok(true)
            }
        }
    }

    async fn bury_system(&self, delivery: &Delivery) -> Result<bool, StoreError> {
        if let Ok(work) = decode_batch(delivery.body.clone()) {
            return self.bury_batch(work).await;
        }
        match decode_reports(delivery.body.clone()) {
            // Tracking never rejects a report, so this one was delivered too often: once more, by itself.
            Ok(reports) => Ok(self.report(reports.pages).await),
            Err(error) => {
                tracing::error!(%error, "dropping a dead letter that nobody can read");
                Ok(true)
            }
        }
    }

    async fn bury_batch(&self, work: BatchWork) -> Result<bool, StoreError> {
        let store = self.relay.store();
        match work {
            BatchWork::Split { uid, page, attempt } => {
                let failure = Failed::lasting(code::DEAD_LETTERED, GAVE_UP);
                let committed = store
                    .record_split_failure(uid, page, attempt, failure)
                    .await?;
                self.relay.publish(committed).await;
                Ok(true)
            }
            BatchWork::Dispatch { uid, page, indexes } => {
                self.bury_items(uid, page, &indexes).await
            }
            // Another is sent where one is still needed.
            BatchWork::Fence { .. } => Ok(true),
        }
    }

    async fn bury_items(
        &self,
        uid: JobUid,
        page: u32,
        indexes: &[u32],
    ) -> Result<bool, StoreError> {
        let Some(plan) = self.relay.store().plan_dispatch(uid, page, indexes).await? else {
            return Ok(true);
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

    /// Applies reports; `false` when the process stops first.
    async fn report(&self, reports: Vec<PageReport>) -> bool {
        let Some(applied) = self.apply_insisting(reports, true).await else {
            return false;
        };
        self.relay.publish(applied.committed).await;
        true
    }
}
