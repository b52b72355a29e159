//! Timers: items due for their next attempt, leases that ended, and pages to split again.

use crate::{
    slice::{job_slice::JobSlice, rows::RowChange},
    values::{counter::Counter, time::Micros},
};

impl JobSlice {
    /// When the first timer or lease ends among the item rows that this transaction writes.
    pub fn next_timer(&self) -> Option<Micros> {
        let written = self.items.values();
        let written =
            written.filter(|item| matches!(item.change, RowChange::Insert | RowChange::Update));
        let times =
            written.flat_map(|item| [item.row.due, item.row.lease.map(|lease| lease.until)]);
        times.flatten().min()
    }

    /// Sends those of these items whose timer or lease has ended. Their pages and rows must be in
    /// the slice.
    pub fn fire_items(&mut self, items: &[(u32, u32)]) {
        let now = self.moment.now;
        for (page, index) in items {
            if self.page(*page).is_some_and(|page| page.run < self.job.run) {
                self.forget_timer(*page, *index);
                continue;
            }
            let Some(item) = self.item(*page, *index) else {
                continue;
            };
            if item.due.is_some_and(|due| due <= now) {
                self.fire_delay(*page, *index);
            } else if item.lease.is_some_and(|lease| lease.until <= now) {
                self.expire_lease(*page, *index);
            }
        }
    }

    /// A timer of an older run: its item is opened again with its page.
    fn forget_timer(&mut self, page: u32, index: u32) {
        // The row may be gone since the sweeper saw it, and must not be inserted again.
        if self
            .item(page, index)
            .is_none_or(|item| item.rests_on_message())
        {
            return;
        }
        if let Some(item) = self.item_mut(page, index) {
            item.due = None;
            item.lease = None;
        }
    }

    fn fire_delay(&mut self, page: u32, index: u32) {
        if let Some(item) = self.item_mut(page, index) {
            item.due = None;
        }
        self.miscounted |= !self.job.counts.delayed.subtract(1);
        if self.drops_items() {
            // No worker runs it any more; a retry of the job finds it parked.
            self.park(page, index);
        } else {
            self.spend_tokens(1);
            self.resend(page, index);
        }
    }

    fn expire_lease(&mut self, page: u32, index: u32) {
        let Some(item) = self.item_mut(page, index) else {
            return;
        };
        item.lease = None;
        // A start that was announced is counted already.
        if !item.started {
            item.starts += 1;
        }
        self.process_died(page, index, "");
    }

    /// Lets pages be split again whose delay is over. They must be in the slice.
    pub fn fire_pages(&mut self, pages: &[u32]) {
        let now = self.moment.now;
        for number in pages {
            let due = self
                .page(*number)
                .is_some_and(|page| page.due.is_some_and(|due| due <= now));
            if due && let Some(page) = self.page_mut(*number) {
                page.due = None;
            }
        }
    }
}
