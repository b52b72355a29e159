//! Items of a cancelled or stopped job whose messages lie in a pipe without consumers.

use crate::{batches::page::PageState, slice::job_slice::JobSlice};

impl JobSlice {
    /// Discards the items of these pages that are out in a pipe without consumers. Later reports
    /// about them are stale. Changes nothing in a job whose items may still run, nor items that
    /// have a lease or wait for their next attempt. The pages and all their item rows must be in
    /// the slice.
    pub fn discard_unconsumed(&mut self, pages: &[u32], pipe: &str) {
        if !self.drops_items() {
            return;
        }
        for number in pages {
            let Some(page) = self.page(*number) else {
                continue;
            };
            if page.state != PageState::Open || page.run != self.job.run {
                continue;
            }
            let out = page.open_indexes().filter(|index| page.is_out(*index));
            let unconsumed: Vec<u32> = out
                .filter(|index| self.rests_in_pipe(*number, *index, pipe))
                .collect();
            for index in unconsumed {
                self.discard(*number, index);
            }
        }
    }

    /// Whether the only trace of an item is a message in this pipe.
    fn rests_in_pipe(&self, page: u32, index: u32, pipe: &str) -> bool {
        let own = self.job.meta.spec.pipe().as_str();
        match self.item(page, index) {
            None => pipe == own,
            Some(item) => {
                let at = item
                    .forward
                    .as_ref()
                    .map_or(own, |forward| forward.pipe.as_str());
                item.rests_on_message() && !item.started && at == pipe
            }
        }
    }
}
