//! Repair after messages were lost.

use crate::{
    batches::page::PageState,
    slice::job_slice::JobSlice,
    values::{counter::Counter, time::Micros},
};

impl JobSlice {
    /// Sends again the work of lost messages: splits of these pages, and items that are out without
    /// a timer or lease. Pages that were touched since `before` in the present epoch stay as they
    /// are. The pages and all their item rows must be in the slice.
    pub fn repair(&mut self, pages: &[u32], before: Micros) {
        for number in pages {
            let Some(page) = self.page(*number) else {
                continue;
            };
            if page.touched >= before && page.epoch == self.moment.epoch {
                continue;
            }
            match page.state {
                PageState::Splitting => self.repair_split(*number),
                PageState::Open if page.run == self.job.run => self.repair_items(*number),
                PageState::Open
                | PageState::Unsplit
                | PageState::Retained
                | PageState::SplitFailed => {}
            }
        }
    }

    fn repair_split(&mut self, number: u32) {
        let (now, epoch) = (self.moment.now, self.moment.epoch);
        let Some(page) = self.page_mut(number) else {
            return;
        };
        page.attempt += 1;
        page.state = PageState::Unsplit;
        page.touched = now;
        page.epoch = epoch;
        self.miscounted |= !self.job.counts.splitting.subtract(1);
        self.job.counts.unsplit += 1;
    }

    fn repair_items(&mut self, number: u32) {
        let (now, epoch) = (self.moment.now, self.moment.epoch);
        let Some(page) = self.page_mut(number) else {
            return;
        };
        page.attempt += 1;
        page.touched = now;
        page.epoch = epoch;
        let lost: Vec<u32> = page
            .open_indexes()
            .filter(|index| page.is_out(*index))
            .collect();
        for index in lost {
            match self
                .items
                .get(&(number, index))
                .map(|item| item.row.rests_on_message())
            {
                Some(false) => continue,
                Some(true) => {
                    if let Some(item) = self.item_mut(number, index) {
                        item.void_attempt();
                    }
                }
                None => {}
            }
            self.resend(number, index);
        }
    }
}
