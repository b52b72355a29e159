//! Long items: a delivery that is not finished in time becomes a lease of the session, and
//! heartbeats keep it.

use headway::wire::Leased;
use headway::wire::Parked;
use headway::wire::item_report::Event;
use tokio::time::Instant;

use super::Engine;
use super::published::Published;

impl Engine {
    /// Turns deliveries that are held for long into leases of their running items. Items of theirs
    /// that did not even start are handed back: an idle worker may take them.
    pub(super) fn on_lease_tick(&mut self) {
        let Some(limit) = Instant::now().checked_sub(self.settings.lease_after) else {
            return;
        };
        let old = self.ledger.older_than(limit);
        if old.is_empty() {
            return;
        }
        for work in self.extract(|work| work.envelope.received <= limit) {
            self.set_aside(&work, Event::Parked(Parked {}));
        }
        for key in old {
            let Some(envelope) = self.ledger.envelope(key).cloned() else {
                continue;
            };
            for (position, settlement) in self.ledger.lease(key) {
                self.alone.ended(key, position);
                self.gatherer.add(
                    &envelope,
                    position,
                    Event::Leased(Leased {}),
                    Some(settlement),
                );
            }
        }
    }

    /// Renews the session's leases. The broker's confirm is asked for, but a lost heartbeat is not
    /// repeated: the next one comes, and one that is late must not pile up.
    pub(super) fn on_heartbeat_tick(&mut self) {
        if self.heartbeats > 0 {
            return;
        }
        let reporter = &self.settings.reporter;
        let messages: Vec<_> = self
            .ledger
            .lease_shards()
            .map(|shard| reporter.message(shard, Vec::new(), true))
            .collect();
        if messages.is_empty() {
            return;
        }
        self.heartbeats += 1;
        let broker = self.settings.broker.clone();
        self.publishing.push(Box::pin(async move {
            for error in broker
                .publish(messages)
                .await
                .into_iter()
                .filter_map(Result::err)
            {
                tracing::warn!(%error, "the broker did not confirm a heartbeat; the next one follows");
            }
            Ok(Published::Heartbeat)
        }));
    }
}
