//! The end of a worker: what runs is finished and reported, what does not is handed back, and all
//! of it in bounded time.

use std::time::Duration;

use headway::wire::Parked;
use headway::wire::item_report::Event;
use tokio::time::Instant;

use super::Engine;
use crate::envelope::EndedBy;
use crate::error::WorkerError;

/// How long the last reports may take to be confirmed.
const LAST_REPORTS: Duration = Duration::from_secs(5);
/// How long the runner's tasks may take to drop what they run.
const ABORT: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) async fn drain(mut self) -> Result<(), WorkerError> {
        tracing::info!(
            running = self.running(),
            "the worker stops receiving and drains"
        );
        self.receiving = false;
        self.consumer.stop().await;
        // Handed back by a report rather than to the queue: a redelivered item would count as
        // started.
        for work in self.extract(|_| true) {
            self.set_aside(&work, Event::Parked(Parked {}));
        }
        self.flush();
        self.steps_until(Instant::now() + self.settings.drain, |engine| {
            engine.dispatched == 0
        })
        .await?;
        if self.dispatched > 0 {
            tracing::warn!(
                running = self.dispatched,
                "the drain time is over; cancelling the running items"
            );
            self.ledger
                .envelopes()
                .for_each(|envelope| envelope.end(EndedBy::Shutdown));
            self.steps_until(Instant::now() + self.settings.cancel_grace, |engine| {
                engine.dispatched == 0
            })
            .await?;
        }
        // A handler that blocks its thread cannot be aborted; it is not waited for either.
        if tokio::time::timeout(ABORT, self.tasks.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("a handler blocks its thread; the worker ends without waiting for it");
        }
        if self.dispatched > 0 {
            tracing::warn!(
                items = self.dispatched,
                "handlers did not end; handing their items back"
            );
            // By a report, for the same reason, and because a lease has no delivery any more.
            for (key, position) in self.ledger.open_items() {
                let Some(envelope) = self.ledger.envelope(key).cloned() else {
                    continue;
                };
                if let Some(settlement) = self.ledger.end(key, position) {
                    self.gatherer.add(
                        &envelope,
                        position,
                        Event::Parked(Parked {}),
                        Some(settlement),
                    );
                }
            }
            self.dispatched = 0;
        }
        self.flush();
        let reported = |engine: &Self| {
            engine.publishing.is_empty() && engine.gatherer.is_empty() && engine.results.is_empty()
        };
        self.steps_until(Instant::now() + LAST_REPORTS, reported)
            .await?;
        if !reported(&self) {
            tracing::warn!(
                "the broker did not confirm the last reports; their deliveries return to the pipe"
            );
        }
        Ok(())
    }

    /// Goes on without new deliveries until `ready`, or until the deadline.
    async fn steps_until(
        &mut self,
        deadline: Instant,
        ready: impl Fn(&Self) -> bool,
    ) -> Result<(), WorkerError> {
        while !ready(self) {
            match tokio::time::timeout_at(deadline, self.step()).await {
                Ok(stepped) => stepped?,
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }
}
