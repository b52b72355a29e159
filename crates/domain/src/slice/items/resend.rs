//! Items that are sent again, parked or discarded.

use crate::{
    jobs::state::Phase,
    reports::failure::{Failed, code},
    slice::job_slice::JobSlice,
    values::{counter::Counter, limits},
};

impl JobSlice {
    /// Whether the job discards items without an outcome, because it was cancelled or stopped.
    pub(crate) fn drops_items(&self) -> bool {
        matches!(self.job.phase, Phase::Cancelled | Phase::Failed)
    }

    pub(crate) fn discard(&mut self, page: u32, index: u32) -> bool {
        let flipped = self
            .page_mut(page)
            .is_some_and(|page| page.discarded.insert(index));
        if flipped {
            self.job.counts.discarded += 1;
            self.drop_item(page, index);
        }
        flipped
    }

    /// Parks an item until the job is resumed.
    pub(crate) fn park(&mut self, page: u32, index: u32) -> bool {
        if let Some(item) = self.item(page, index)
            && !item.rests_on_message()
        {
            if item.due.is_some() {
                self.miscounted |= !self.job.counts.delayed.subtract(1);
            }
            // A parked item has no timer of any kind: the lease belongs to a copy that runs
            // elsewhere.
            if let Some(item) = self.item_mut(page, index) {
                item.due = None;
                item.lease = None;
            }
        }
        let flipped = self
            .page_mut(page)
            .is_some_and(|page| page.parked.insert(index));
        if flipped {
            self.job.counts.parked += 1;
        }
        flipped
    }

    /// The process of an item died. Sends the item again, alone if it was running when two
    /// processes died, or ends it as POISON.
    pub(crate) fn process_died(&mut self, page: u32, index: u32, worker: &str) -> bool {
        let starts = self.item(page, index).map_or(0, |item| item.starts);
        if starts >= limits::STARTS_BEFORE_POISON {
            return self.poison(page, index, worker);
        }
        self.send_again(page, index)
    }

    fn poison(&mut self, page: u32, index: u32, worker: &str) -> bool {
        let message = "every process that ran this item died; run it by hand to find out why";
        self.failed(page, index, Failed::lasting(code::POISON, message), worker)
    }

    /// Sends an item again under a new fencing attempt; its starts stay counted.
    fn send_again(&mut self, page: u32, index: u32) -> bool {
        let first = self.page(page).map_or(0, |page| page.attempt);
        let Some(item) = self.item_mut(page, index) else {
            return false;
        };
        item.attempt += 1;
        let sends = item.attempt.saturating_sub(first + item.failures);
        item.alone =
            item.starts >= limits::STARTS_BEFORE_ALONE || sends >= limits::SENDS_BEFORE_ALONE;
        item.started = false;
        item.lease = None;
        self.resend(page, index);
        true
    }

    /// Sends an item again, or parks or discards it, depending on the job's state.
    pub(crate) fn resend(&mut self, page: u32, index: u32) {
        if self.drops_items() {
            self.discard(page, index);
        } else if self.job.parks_items() {
            self.park(page, index);
        } else {
            self.dispatch(page, vec![index]);
        }
    }
}
