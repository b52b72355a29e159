//! Recounting: the counters computed from the rows that they sum up.

use super::{job_slice::JobSlice, rows::RowChange};
use crate::{
    batches::{
        item::Item,
        page::{Page, PageState},
    },
    jobs::counts::Counts,
};

impl JobSlice {
    /// Whether the counters may be stored: none would have fallen below zero, and they agree with
    /// each other and with the changed pages. If not, the job must be recounted first.
    pub fn counts_agree(&self) -> bool {
        let counts = &self.job.counts;
        let parts = [
            counts.done,
            counts.failed,
            counts.discarded,
            counts.unreleased,
            counts.parked,
            counts.delayed,
        ];
        let sum = parts.into_iter().try_fold(0u64, u64::checked_add);
        let pages = self.pages.values();
        let mut changed =
            pages.filter(|page| !matches!(page.change, RowChange::Unchanged | RowChange::Delete));
        !self.miscounted
            && sum.is_some_and(|sum| sum <= counts.known)
            && changed.all(|page| page.row.agrees())
    }

    /// Recounts the job and tells whether that changed anything. All its rows must be in the slice.
    /// Leaves a retried job alone whose carried failures are not opened yet, because its rows do
    /// not show what it counts.
    pub fn recount(&mut self) -> bool {
        if self.job.is_reopening() {
            return false;
        }
        self.miscounted = false;
        let counts = self.counted();
        let mut changed = counts != self.job.counts;
        self.job.counts = counts;
        let numbers: Vec<u32> = self.batches.keys().copied().collect();
        for number in numbers {
            changed |= self.recount_batch(number);
        }
        self.changed |= changed;
        changed
    }

    fn counted(&self) -> Counts {
        let before = &self.job.counts;
        let batches = self.batches.values().map(|batch| &batch.row);
        // The parent of a finished, retained batch includes its count already.
        let folded: u64 = batches
            .filter(|batch| !batch.finished)
            .map(|batch| batch.done)
            .sum();
        let mut counts = Counts {
            known: folded,
            done: folded,
            // Counters that the rows do not show are taken over.
            declared: before.declared,
            undeclared: before.undeclared,
            undeclared_pages: before.undeclared_pages,
            undeclared_unsplit: before.undeclared_unsplit,
            failures: before.failures,
            redriven: before.redriven,
            ..Counts::default()
        };
        for page in self.pages.values().map(|page| &page.row) {
            counts.add_page(page, self.job.run);
        }
        for item in self.items.values().map(|item| &item.row) {
            let page = self.page(item.page);
            counts.add_item(item, page.is_some_and(|page| page.run == self.job.run));
        }
        counts
    }

    fn recount_batch(&mut self, number: u32) -> bool {
        let of = |states: &[PageState]| {
            let pages = self.pages.values().map(|page| &page.row);
            let mine = pages.filter(|page| page.batch == number && states.contains(&page.state));
            u32::try_from(mine.count()).unwrap_or(u32::MAX)
        };
        let open = of(&[PageState::Unsplit, PageState::Splitting, PageState::Open]);
        let retained = of(&[PageState::Retained, PageState::SplitFailed]);
        let batches = self.batches.values().map(|batch| &batch.row);
        let below = batches.filter(|batch| batch.parent == Some(number) && !batch.finished);
        let children = u32::try_from(below.count()).unwrap_or(u32::MAX);
        let right = (open, retained, children);
        let wrong = self.batch(number).is_some_and(|batch| {
            !batch.finished && (batch.open_pages, batch.retained_pages, batch.children) != right
        });
        if wrong && let Some(batch) = self.batch_mut(number) {
            (batch.open_pages, batch.retained_pages, batch.children) = right;
        }
        wrong
    }
}

impl Counts {
    fn add_page(&mut self, page: &Page, run: u32) {
        let items = u64::from(page.items());
        let done = u64::from(page.done.len());
        self.known += items;
        self.done += done;
        let present = page.run == run;
        match page.state {
            PageState::Unsplit => self.unsplit += 1,
            PageState::Splitting => self.splitting += 1,
            PageState::Open | PageState::Retained | PageState::SplitFailed if !present => {
                self.reopen += 1;
                self.unreleased += items.saturating_sub(done);
            }
            PageState::Open => {
                self.open += 1;
                let never = page.open_indexes().filter(|index| *index >= page.released);
                self.unreleased += never.count() as u64 + u64::from(page.again.len());
            }
            PageState::Retained => self.retained += 1,
            PageState::SplitFailed => self.split_failed += 1,
        }
        if present {
            self.failed += u64::from(page.failed.len());
            self.discarded += u64::from(page.discarded.len());
            self.parked += u64::from(page.parked.len());
        }
    }

    fn add_item(&mut self, item: &Item, present: bool) {
        self.item_rows += 1;
        if present {
            self.delayed += u64::from(item.due.is_some());
            self.fractions += u64::from(item.fraction);
        }
    }
}

impl Page {
    /// Whether the children with an outcome are at most all children.
    fn agrees(&self) -> bool {
        let ended = [&self.sub, &self.done, &self.failed, &self.discarded];
        let ended = ended.into_iter().map(|map| u64::from(map.len()));
        ended.sum::<u64>() <= u64::from(self.count)
    }
}
