//! Pages of an older run. `advance` opens them again, one after the other.

use crate::{
    batches::page::PageState,
    retries::carried::PageFailures,
    slice::{job_slice::JobSlice, rows::RowChange},
    values::counter::Counter,
};

impl JobSlice {
    /// Opens the pages of an older run that are in the slice.
    pub(crate) fn reopen_pages(&mut self) {
        let run = self.job.run;
        let stale: Vec<u32> = self
            .pages
            .values()
            .filter(|page| {
                page.change != RowChange::Delete
                    && page.row.run < run
                    && !matches!(page.row.state, PageState::Unsplit | PageState::Splitting)
                    && self.batch(page.row.batch).is_some()
                    && (self.job.carried == 0 || self.carried.contains_key(&page.row.number))
            })
            .map(|page| page.row.number)
            .collect();
        for number in stale {
            let carried = self.carried.remove(&number).unwrap_or_default();
            if carried.split {
                self.carry_split(number);
                continue;
            }
            self.reopen_page(number, &carried);
            // All its failures may be carried.
            let left = self
                .page(number)
                .map(|page| (page.state, page.open_items()));
            if left == Some((PageState::Open, 0)) {
                self.finish_page(number);
            }
        }
        self.fold_batches();
    }

    /// Leaves a page unsplit whose failure is carried.
    fn carry_split(&mut self, number: u32) {
        let run = self.job.run;
        if let Some(page) = self.page_mut(number) {
            page.run = run;
            self.miscounted |= !self.job.counts.reopen.subtract(1);
            self.job.counts.split_failed += 1;
        }
    }

    fn reopen_page(&mut self, number: u32, carried: &PageFailures) {
        let run = self.job.run;
        let Some(page) = self.page_mut(number) else {
            return;
        };
        let (batch, was) = (page.batch, page.state);
        page.run = run;
        page.tries = 0;
        if was == PageState::SplitFailed {
            self.unsplit(number);
        } else {
            page.state = PageState::Open;
            page.attempt = 0;
            page.released = 0;
            page.again.clear();
            page.failed = carried.items.iter().copied().collect();
            page.discarded.clear();
            page.parked.clear();
            self.job.counts.open += 1;
            self.drop_page_items(number);
        }
        self.miscounted |= !self.job.counts.reopen.subtract(1);
        if was != PageState::Open {
            self.reopen_in_batch(batch);
        }
    }

    /// Lets a page be split again after a failure.
    pub(crate) fn unsplit(&mut self, number: u32) {
        let Some(page) = self.page_mut(number) else {
            return;
        };
        // The attempt keeps counting: a split is not fenced by the run.
        page.state = PageState::Unsplit;
        page.tries = 0;
        let declared = page.declared;
        self.job.counts.unsplit += 1;
        if !declared {
            self.job.counts.undeclared_unsplit += 1;
        }
    }

    /// Counts a retained page of this batch as open again.
    pub(crate) fn reopen_in_batch(&mut self, batch: u32) {
        if let Some(batch) = self.batch_mut(batch) {
            let fits = batch.retained_pages.subtract(1);
            batch.open_pages += 1;
            self.miscounted |= !fits;
        }
    }
}
