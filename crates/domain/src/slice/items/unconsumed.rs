//! Taking back what no worker took: items of a cancelled or stopped job whose messages lie in a pipe that nobody consumes.

use crate::{batches::page::PageState, slice::job_slice::JobSlice};

impl JobSlice {
    /// Discards the items of these pages that are out in a pipe from which nobody takes messages. The pages and all item rows
    /// of them must be in the slice. What a worker says of them later comes too late. Nothing happens in a job whose items
    /// may still run, nor to an item that runs under a lease or waits for its next attempt.
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

    /// Whether an item rests on a message in this pipe alone.
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
