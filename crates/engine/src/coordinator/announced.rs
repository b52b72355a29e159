//! Items whose process died before: their starts go on record before they run, many in one message,
//! and then they run beside all other work. So the next death finds out what was running, and what
//! was only held.

use std::collections::BTreeMap;

use headway::wire::item_report::Event;
use headway::wire::{ItemReport, PageReport, Parked, Started};

use super::Engine;
use super::admit::withheld;
use super::published::Published;
use crate::confirm::{self, Confirmed};
use crate::queue::Work;

impl Engine {
    /// Announces the next items, as many as can start soon: slots that are free, and a quarter of
    /// all so that a slot need not wait for a confirm.
    pub(super) fn advance_announced(&mut self) {
        let waits = self.announced.waiting.is_empty() || self.announced.unconfirmed > 0;
        if waits || self.alone.has_turn() || !self.can_publish() {
            return;
        }
        let slots = self.settings.concurrency;
        let busy = self.running() + self.queue.announced();
        let room = (slots + slots.div_ceil(4)).saturating_sub(busy);
        let mut works = Vec::new();
        while works.len() < room
            && let Some(work) = self.announced.waiting.pop_front()
        {
            let control = work.envelope.message.control;
            match self.statuses.withhold(&work.envelope.uid, control) {
                Some(withhold) => self.set_aside(&work, withheld(withhold)),
                None => works.push(work),
            }
        }
        if !works.is_empty() {
            self.announced.unconfirmed = works.len();
            self.announce(works);
        }
    }

    /// Publishes that items are about to start.
    pub(super) fn announce(&mut self, works: Vec<Work>) {
        let mut shards: BTreeMap<u16, Vec<PageReport>> = BTreeMap::new();
        for work in &works {
            let message = &work.envelope.message;
            let Some(item) = message.items.get(work.position) else {
                continue;
            };
            let started = ItemReport {
                index: item.index,
                attempt: item.attempt,
                stage: item.stage,
                event: Some(Event::Started(Started {})),
            };
            let pages = shards.entry(work.envelope.shard).or_default();
            match pages.last_mut().filter(|page| {
                (&page.job_uid, page.page, page.run)
                    == (&message.job_uid, message.page, message.run)
            }) {
                Some(page) => page.items.push(started),
                None => pages.push(PageReport {
                    job_uid: message.job_uid.clone(),
                    page: message.page,
                    run: message.run,
                    done: Vec::new(),
                    items: vec![started],
                }),
            }
        }
        let reporter = &self.settings.reporter;
        let messages = shards.into_iter();
        let messages = messages.map(|(shard, pages)| reporter.message(shard, pages, false));
        let messages = messages.collect();
        let broker = self.settings.broker.clone();
        self.publishing.push(Box::pin(async move {
            Ok(Published::Started(
                confirm::publish(broker.as_ref(), messages, works).await?,
            ))
        }));
    }

    /// The starts are on record: now the items may run.
    pub(super) fn on_started(&mut self, confirmed: Confirmed<Vec<Work>>) {
        let mut ready = Vec::new();
        for work in confirmed.into_inner() {
            let message = &work.envelope.message;
            let alone = message.alone;
            match alone {
                true => self.alone.confirmed(),
                false => {
                    self.announced.unconfirmed = self.announced.unconfirmed.saturating_sub(1);
                }
            }
            let withhold = self.statuses.withhold(&work.envelope.uid, message.control);
            if let Some(withhold) = withhold {
                self.set_aside(&work, withheld(withhold));
            } else if !self.receiving {
                self.set_aside(&work, Event::Parked(Parked {}));
            } else if alone {
                tracing::debug!(uid = ?work.envelope.uid, page = message.page, position = work.position, "running an item alone");
                self.alone.begin(&work);
                self.dispatched += 1;
                self.queue.push_alone(work);
            } else {
                ready.push(work);
            }
        }
        if !ready.is_empty() {
            self.dispatched += ready.len();
            self.queue.push_announced(ready);
        }
    }
}
