//! Items that were running in two processes that died: each runs while nothing else does, so that
//! the next death tells who is to blame. Such an item is announced like others, once every outcome
//! before it is on record, and nothing else starts before its own outcome is.
//!
//! Other work is held up for as long as that takes and no longer: after each turn of an item alone
//! the gate is open for the same time, if anything waits for it.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::Engine;
use super::admit::withheld;
use crate::ledger::Key;
use crate::prefetch::MAX_PREFETCH;
use crate::queue::Work;

/// The items that run alone.
#[derive(Debug, Default)]
pub(super) struct Alone {
    /// In the order in which they came.
    pub waiting: VecDeque<Work>,
    now: Now,
    /// Since when the gate is shut.
    shut: Option<Instant>,
    /// Other work has its turn until then.
    open_until: Option<Instant>,
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
    /// One that ended, and whose outcome is not on record yet.
    Ended,
}

impl Alone {
    /// Whether an item waits to run alone.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether nothing else may start now.
    pub(crate) fn has_turn(&self) -> bool {
        self.shut.is_some()
    }

    /// An item ended, or went on under a lease, which shuts the gate no longer.
    pub(crate) fn ended(&mut self, key: Key, position: usize) {
        if self.now == (Now::Running { key, position }) {
            self.now = Now::Ended;
        }
    }

    /// The start of the item that is about to run is on record.
    pub(crate) fn confirmed(&mut self) {
        self.now = Now::Ended;
    }

    /// This one runs now.
    pub(crate) fn begin(&mut self, work: &Work) {
        self.now = Now::Running {
            key: work.key,
            position: work.position,
        };
    }

    /// These were taken back before they started.
    pub(crate) fn forget(&mut self, works: &[Work]) {
        works
            .iter()
            .for_each(|work| self.ended(work.key, work.position));
    }

    /// Takes back what waits and is wanted.
    pub(crate) fn extract(&mut self, mut wanted: impl FnMut(&Work) -> bool) -> Vec<Work> {
        let (extracted, kept) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|work| wanted(work));
        self.waiting = kept;
        Vec::from(extracted)
    }

    /// When other work has had its turn.
    pub(crate) fn next_turn(&self) -> Option<Instant> {
        self.open_until
            .filter(|_| self.is_wanted() && self.now == Now::Nothing)
    }

    /// The deliveries to hold beside the ordinary prefetch: what waits here, rounded up so that it
    /// changes rarely.
    pub(crate) fn room(&self) -> u16 {
        let waiting = u16::try_from(self.waiting.len()).unwrap_or(MAX_PREFETCH);
        match waiting {
            0 => 0,
            some => some.min(MAX_PREFETCH).next_power_of_two(),
        }
    }

    fn end_turn(&mut self) {
        self.now = Now::Nothing;
        if let Some(since) = self.shut.take() {
            let now = Instant::now();
            self.open_until = Some(now + now.duration_since(since));
        }
    }
}

impl Engine {
    /// Shuts the gate while an item waits to run alone, and starts the next one once nothing else
    /// runs and what ran is on record: an outcome that died with the process would count as a start
    /// without one. Items under a lease do not count: they may run for hours.
    pub(super) fn advance_alone(&mut self) {
        if self.alone.now == Now::Ended && self.all_on_record() {
            self.alone.end_turn();
        }
        if self.alone.now != Now::Nothing {
            return;
        }
        loop {
            if !self.alone.is_wanted() {
                self.alone.shut = None;
                self.queue.shut(false);
                return;
            }
            if self.is_others_turn() {
                self.queue.shut(false);
                return;
            }
            self.queue.shut(true);
            self.alone.shut.get_or_insert_with(Instant::now);
            let busy = self.running() + self.queue.announced();
            if busy > self.ledger.leased_running() || !self.all_on_record() {
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
            self.announce(vec![work]);
            return;
        }
    }

    /// Whether other work waits and had less time than the last item alone.
    fn is_others_turn(&mut self) -> bool {
        if self
            .alone
            .open_until
            .is_some_and(|until| until <= Instant::now())
        {
            self.alone.open_until = None;
        }
        let waits = self.queue.len() > 0 || !self.announced.waiting.is_empty();
        waits && self.alone.open_until.is_some()
    }
}
