//! Items that do not start when they come: those that run alone, and those that are announced
//! first.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::ledger::Key;
use crate::prefetch::MAX_PREFETCH;
use crate::queue::Work;

/// The items that run alone.
#[derive(Debug, Default)]
pub(super) struct Alone {
    /// In the order in which they came.
    pub waiting: VecDeque<Work>,
    pub now: Now,
    /// Since when the gate is shut.
    pub shut: Option<Instant>,
    /// Other work has its turn until then.
    pub open_until: Option<Instant>,
}

/// Which item runs alone now.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Now {
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
    pub(crate) fn extract(&mut self, wanted: impl FnMut(&Work) -> bool) -> Vec<Work> {
        take_out(&mut self.waiting, wanted)
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

    pub(crate) fn end_turn(&mut self) {
        self.now = Now::Nothing;
        if let Some(since) = self.shut.take() {
            let now = Instant::now();
            self.open_until = Some(now + now.duration_since(since));
        }
    }
}

/// The items that are announced before they run.
#[derive(Debug, Default)]
pub(super) struct Announced {
    /// Not announced yet, in the order in which they came.
    pub waiting: VecDeque<Work>,
    /// Announced, but not confirmed yet.
    pub unconfirmed: usize,
}

impl Announced {
    /// Takes back what waits and is wanted.
    pub(crate) fn extract(&mut self, wanted: impl FnMut(&Work) -> bool) -> Vec<Work> {
        take_out(&mut self.waiting, wanted)
    }
}

/// Takes the wanted items out of those that wait. The others keep their order.
fn take_out(waiting: &mut VecDeque<Work>, mut wanted: impl FnMut(&Work) -> bool) -> Vec<Work> {
    let (taken, kept) = std::mem::take(waiting)
        .into_iter()
        .partition(|work| wanted(work));
    *waiting = kept;
    Vec::from(taken)
}
