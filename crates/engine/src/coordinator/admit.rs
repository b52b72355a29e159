//! What comes in: deliveries and control messages.

use std::sync::Arc;

use headway::wire::item_report::Event;
use headway::wire::{ControlMessage, Discarded, Parked, Suspect, TaskMessage};
use headway_broker::{Delivery, DeliveryTag};
use prost::Message;
use tokio::time::Instant;

use super::Engine;
use super::published::Published;
use crate::envelope::{EndedBy, Envelope};
use crate::queue::Work;
use crate::status::Withhold;

/// The report for an item that is not run.
pub(super) fn withheld(withhold: Withhold) -> Event {
    match withhold {
        Withhold::Park => Event::Parked(Parked {}),
        Withhold::Discard => Event::Discarded(Discarded {}),
    }
}

/// Whether a message only asks to be reported once it has come out of the pipe.
fn is_fence(message: &TaskMessage) -> bool {
    !message.fence.is_empty() && message.items.is_empty()
}

impl Engine {
    /// Reports a fence; its delivery is acknowledged once the report is confirmed.
    fn report_fence(&mut self, message: &TaskMessage, tag: DeliveryTag) {
        // One that is no shard's is acknowledged all the same: nobody waits for it.
        let shard = u16::try_from(message.shard).ok();
        let report = shard.map(|shard| {
            let reporter = &self.settings.reporter;
            reporter.fence(shard, message.fence.clone())
        });
        let broker = self.settings.broker.clone();
        self.publishing.push(Box::pin(async move {
            for error in broker
                .publish(report.into_iter().collect())
                .await
                .into_iter()
                .filter_map(Result::err)
            {
                tracing::warn!(%error, "cannot report a fence; tracking sends another one");
            }
            Ok(Published::Fence(tag))
        }));
    }

    pub(super) async fn on_deliveries(&mut self, deliveries: Vec<Delivery>) {
        let now = Instant::now();
        let mut ready = Vec::with_capacity(deliveries.len());
        let mut broken = Vec::new();
        let mut suspects = 0;
        for delivery in deliveries {
            let message = TaskMessage::decode(delivery.body).ok();
            if let Some(message) = message.as_ref().filter(|message| is_fence(message)) {
                self.report_fence(message, delivery.tag);
                continue;
            }
            let envelope =
                message.and_then(|message| Envelope::new(message, now, self.progress.clone()));
            let Some(envelope) = envelope else {
                broken.push(delivery.tag);
                continue;
            };
            let envelope = Arc::new(envelope);
            let message = &envelope.message;
            self.seen.messages = self.seen.messages.saturating_add(1);
            self.seen.items = self
                .seen
                .items
                .saturating_add(u32::try_from(message.items.len()).unwrap_or(u32::MAX));
            let key = self.ledger.admit(envelope.clone(), delivery.tag);
            let works = (0..message.items.len()).map(|position| Work {
                key,
                envelope: envelope.clone(),
                position,
            });
            if let Some(withhold) = self.statuses.withhold(&envelope.uid, message.control) {
                works.for_each(|work| self.set_aside(&work, withheld(withhold)));
            } else if delivery.redelivered {
                // The process that had it may have died of it. Tracking sends it again, with its
                // starts counted.
                suspects += message.items.len();
                works.for_each(|work| self.set_aside(&work, Event::Suspect(Suspect {})));
            } else if message.alone {
                self.alone.waiting.extend(works);
            } else if message.announced {
                self.announced.waiting.extend(works);
            } else {
                ready.extend(works);
            }
        }
        if suspects > 0 {
            tracing::info!(
                items = suspects,
                "reported redelivered items as suspect, because the process that had them may have died; tracking sends them again"
            );
        }
        if !ready.is_empty() {
            self.dispatched += ready.len();
            self.queue.push(ready);
        }
        if !broken.is_empty() {
            tracing::warn!(
                messages = broken.len(),
                "cannot decode task messages; they become dead letters"
            );
            self.acker.reject(&broken, false).await;
        }
    }

    /// Reports an item that did not start.
    pub(super) fn set_aside(&mut self, work: &Work, event: Event) {
        if let Some(settlement) = self.ledger.end(work.key, work.position) {
            self.gatherer
                .add(&work.envelope, work.position, event, Some(settlement));
        }
    }

    /// Takes back items that did not start, wherever they wait.
    pub(super) fn extract(&mut self, mut wanted: impl FnMut(&Work) -> bool) -> Vec<Work> {
        let mut extracted = self.queue.extract(&mut wanted);
        self.dispatched = self.dispatched.saturating_sub(extracted.len());
        self.alone.forget(&extracted);
        extracted.extend(self.alone.extract(&mut wanted));
        extracted.extend(self.announced.extract(wanted));
        extracted
    }

    pub(super) fn on_control(&mut self, message: &ControlMessage) {
        let Some((uid, Some(withhold))) = self.statuses.learn(message) else {
            return;
        };
        let control = message.control;
        let concerned =
            |envelope: &Envelope| envelope.uid == uid && envelope.message.control <= control;
        for work in self.extract(|work| concerned(&work.envelope)) {
            self.set_aside(&work, withheld(withhold));
        }
        if withhold == Withhold::Discard {
            let running = self
                .ledger
                .envelopes()
                .filter(|envelope| concerned(envelope));
            running.for_each(|envelope| envelope.end(EndedBy::Discard));
        }
    }
}
