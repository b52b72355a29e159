//! Items that were running in two processes that died: each runs while nothing else does, so that
//! the next death tells who is to blame. Such an item is announced like others, once every outcome
//! before it is on record, and nothing else starts before its own outcome is.
//!
//! Other work is held up for as long as that takes and no longer: after each turn of an item alone
//! the gate is open for the same time, if anything waits for it.

use tokio::time::Instant;

use super::Engine;
use super::admit::withheld;
use super::waiting::Now;

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
