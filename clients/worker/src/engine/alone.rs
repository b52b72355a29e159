//! Items that are suspected of killing their workers: each is announced by a confirmed `started` and runs
//! while nothing else does and every outcome before it is on record, so that its death takes no neighbour along.

use std::collections::VecDeque;

use headway::pipe::item_report::Event;
use headway::pipe::{ItemReport, PageReport, Parked, Started};

use super::admit::withheld;
use super::{Engine, Published};
use crate::confirm::{self, Confirmed};
use crate::ledger::Key;
use crate::queue::Work;

/// The items that run alone.
#[derive(Debug, Default)]
pub(super) struct Alone {
    /// In the order in which they came.
    pub waiting: VecDeque<Work>,
    now: Now,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Now {
    /// None of them.
    #[default]
    Nothing,
    /// One whose start is not confirmed yet.
    Starting,
    /// This one.
    Running { key: Key, position: usize },
}

impl Alone {
    /// Whether an item waits to run alone.
    pub fn is_wanted(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// An item ended, or went on under a lease, which shuts the gate no longer.
    pub fn ended(&mut self, key: Key, position: usize) {
        if self.now == (Now::Running { key, position }) {
            self.now = Now::Nothing;
        }
    }

    /// These were taken back before they started.
    pub fn forget(&mut self, works: &[Work]) {
        works
            .iter()
            .for_each(|work| self.ended(work.key, work.position));
    }

    /// Takes back what waits and is wanted.
    pub fn extract(&mut self, mut wanted: impl FnMut(&Work) -> bool) -> Vec<Work> {
        let (extracted, kept) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|work| wanted(work));
        self.waiting = kept;
        Vec::from(extracted)
    }
}

impl Engine {
    /// Shuts the gate while an item waits to run alone, and starts the next one once nothing else runs and what
    /// ran is on record: an outcome that died with the process would make a suspect of an item that is done. Items
    /// under a lease do not count: they may run for hours.
    pub(super) fn advance_alone(&mut self) {
        if self.alone.now != Now::Nothing {
            return;
        }
        loop {
            if !self.alone.is_wanted() {
                self.queue.shut(false);
                return;
            }
            self.queue.shut(true);
            if self.running() > self.ledger.leased_running() || !self.all_on_record() {
                return;
            }
            let Some(work) = self.alone.waiting.pop_front() else {
                return;
            };
            let control = work.envelope.message.control;
            if let Some(withhold) = self.statuses.withhold(&work.envelope.uid, control) {
                self.set_aside(&work, withheld(withhold));
                continue;
            }
            self.alone.now = Now::Starting;
            self.announce(work);
            return;
        }
    }

    /// Publishes that an item is about to start.
    fn announce(&mut self, work: Work) {
        let message = &work.envelope.message;
        let Some(item) = message.items.get(work.position) else {
            self.alone.now = Now::Nothing;
            return;
        };
        let started = ItemReport {
            index: item.index,
            attempt: item.attempt,
            stage: item.stage,
            event: Some(Event::Started(Started {})),
        };
        let page = PageReport {
            job_uid: message.job_uid.clone(),
            page: message.page,
            run: message.run,
            done: Vec::new(),
            items: vec![started],
        };
        let report = self
            .settings
            .reporter
            .message(work.envelope.shard, vec![page], false);
        let broker = self.settings.broker.clone();
        self.publishing.push(Box::pin(async move {
            Ok(Published::Started(
                confirm::publish(broker.as_ref(), vec![report], work).await?,
            ))
        }));
    }

    /// The start is on record: now the item may run.
    pub(super) fn on_started(&mut self, confirmed: Confirmed<Work>) {
        let work = confirmed.into_inner();
        self.alone.now = Now::Nothing;
        tracing::debug!(uid = ?work.envelope.uid, page = work.envelope.message.page, position = work.position, "an item runs alone");
        if let Some(withhold) = self
            .statuses
            .withhold(&work.envelope.uid, work.envelope.message.control)
        {
            self.set_aside(&work, withheld(withhold));
            return;
        }
        if !self.receiving {
            self.set_aside(&work, Event::Parked(Parked {}));
            return;
        }
        self.alone.now = Now::Running {
            key: work.key,
            position: work.position,
        };
        self.dispatched += 1;
        self.queue.push_alone(work);
    }
}
