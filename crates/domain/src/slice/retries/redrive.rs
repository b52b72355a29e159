//! Redrive: failed items and splits of a running job run again.

use std::collections::BTreeMap;

use crate::{
    batches::page::PageState,
    error::{Action, Error},
    events::event::EventKind,
    retries::carried::PageFailures,
    slice::job_slice::JobSlice,
    values::counter::Counter,
};

/// The low bits of a fencing attempt count within an era. Each redrive of a page begins a new era.
/// So no message of a failed item fits any more, although its last attempt is not stored.
const ERA_BITS: u32 = 16;

/// The first attempt of the next era. The eras wrap around after 65,536.
fn next_era(attempt: u32) -> u32 {
    (attempt >> ERA_BITS).wrapping_add(1) << ERA_BITS
}

impl JobSlice {
    /// Redrives failures of the present run: their items are released again, and their pages are
    /// split again. Returns how many. Their pages with all item rows, and the batches with all
    /// above them, must be in the slice. The caller deletes the rows of the failures.
    ///
    /// # Errors
    /// [`Error::IllegalTransition`] if the job has ended: then it is retried as a whole.
    pub fn redrive(&mut self, failures: &[(u32, Option<u32>)]) -> Result<u64, Error> {
        if self.job.phase.is_final() {
            return Err(self.illegal(Action::Retry));
        }
        let mut pages: BTreeMap<u32, PageFailures> = BTreeMap::new();
        for (page, index) in failures {
            let of = pages.entry(*page).or_default();
            match index {
                Some(index) => of.items.push(*index),
                None => of.split = true,
            }
        }
        let mut redriven = 0;
        for (page, of) in pages {
            redriven += self.redrive_page(page, &of);
        }
        if redriven > 0 {
            self.changed = true;
            self.job.counts.redriven += redriven;
            self.record(EventKind::Retried, redriven, "");
        }
        Ok(redriven)
    }

    fn redrive_page(&mut self, number: u32, of: &PageFailures) -> u64 {
        let Some(page) = self.page(number) else {
            return 0;
        };
        if page.run < self.job.run {
            return self.stop_carrying(of);
        }
        match page.state {
            PageState::SplitFailed if of.split => {
                let batch = page.batch;
                self.unsplit(number);
                self.miscounted |= !self.job.counts.split_failed.subtract(1);
                self.reopen_in_batch(batch);
                1
            }
            PageState::Open | PageState::Retained => self.redrive_items(number, &of.items),
            PageState::Unsplit | PageState::Splitting | PageState::SplitFailed => 0,
        }
    }

    /// Stops carrying failures of a page that is still to be opened again: they are opened with it.
    fn stop_carrying(&mut self, of: &PageFailures) -> u64 {
        let items = of.items.len() as u64;
        self.miscounted |= !self.job.counts.failed.subtract(items);
        self.job.counts.unreleased += items;
        items + u64::from(of.split)
    }

    fn redrive_items(&mut self, number: u32, indexes: &[u32]) -> u64 {
        let Some(page) = self.page(number) else {
            return 0;
        };
        let (batch, was) = (page.batch, page.state);
        let failed = indexes.iter().copied();
        let failed: Vec<u32> = failed
            .filter(|index| page.failed.contains(*index))
            .collect();
        if failed.is_empty() {
            return 0;
        }
        // Items that are out keep their attempt, in rows of their own.
        let out = page.open_indexes().filter(|index| page.is_out(*index));
        let rowless = out.filter(|index| self.item(number, *index).is_none());
        for index in rowless.collect::<Vec<_>>() {
            self.item_mut(number, index);
        }
        let (now, epoch) = (self.moment.now, self.moment.epoch);
        let Some(page) = self.page_mut(number) else {
            return 0;
        };
        page.attempt = next_era(page.attempt);
        page.touched = now;
        for index in &failed {
            page.failed.remove(*index);
            if *index < page.released {
                page.again.insert(*index);
            }
        }
        if was == PageState::Retained {
            page.state = PageState::Open;
            page.epoch = epoch;
            self.miscounted |= !self.job.counts.retained.subtract(1);
            self.job.counts.open += 1;
            self.reopen_in_batch(batch);
        }
        let items = failed.len() as u64;
        self.miscounted |= !self.job.counts.failed.subtract(items);
        self.job.counts.unreleased += items;
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eras_are_above_what_was_before() {
        assert_eq!(next_era(0), 65_536);
        assert_eq!(next_era(7), 65_536);
        assert_eq!(next_era(65_536), 131_072);
        assert_eq!(next_era(65_536 + 3), 131_072);
        assert_eq!(next_era(u32::MAX), 0);
    }
}
