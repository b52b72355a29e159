//! Changes to single rows of a slice. All operations consist of them.

use super::{
    effect::Effect,
    job_slice::JobSlice,
    rows::{RowChange, TrackedRow},
};
use crate::{
    batches::{batch::Batch, item::Item, page::Page},
    reports::failure::{Failed, NewFailure, Subject},
    values::counter::Counter,
};

impl JobSlice {
    pub(crate) fn page_mut(&mut self, number: u32) -> Option<&mut Page> {
        let page = self
            .pages
            .get_mut(&number)
            .filter(|page| page.change != RowChange::Delete)?;
        self.changed = true;
        Some(page.touch())
    }

    pub(crate) fn insert_page(&mut self, page: Page) {
        self.changed = true;
        self.pages.insert(
            page.number,
            TrackedRow {
                row: page,
                change: RowChange::Insert,
            },
        );
    }

    pub(crate) fn delete_page(&mut self, number: u32) {
        self.changed = true;
        if let Some(page) = self.pages.get_mut(&number) {
            page.change = RowChange::Delete;
        }
    }

    pub(crate) fn batch_mut(&mut self, number: u32) -> Option<&mut Batch> {
        let batch = self
            .batches
            .get_mut(&number)
            .filter(|batch| batch.change != RowChange::Delete)?;
        self.changed = true;
        Some(batch.touch())
    }

    pub(crate) fn insert_batch(&mut self, batch: Batch) {
        self.changed = true;
        self.batches.insert(
            batch.number,
            TrackedRow {
                row: batch,
                change: RowChange::Insert,
            },
        );
    }

    pub(crate) fn delete_batch(&mut self, number: u32) {
        if let Some(batch) = self.batches.get_mut(&number) {
            batch.change = RowChange::Delete;
        }
    }

    /// The row of an item, which is inserted if there is none.
    pub(crate) fn item_mut(&mut self, page: u32, index: u32) -> Option<&mut Item> {
        let ordinary = Item::ordinary(self.page(page)?, index);
        self.changed = true;
        let entry = self.items.entry((page, index));
        if let std::collections::btree_map::Entry::Vacant(_) = entry {
            self.job.counts.item_rows += 1;
        }
        let item = entry.or_insert(TrackedRow {
            row: ordinary.clone(),
            change: RowChange::Insert,
        });
        if item.change == RowChange::Delete {
            self.job.counts.item_rows += 1;
            *item = TrackedRow {
                row: ordinary,
                change: RowChange::Update,
            };
        }
        Some(item.touch())
    }

    /// Deletes the row of an item, because it has an outcome or belongs to an older run.
    pub(crate) fn drop_item(&mut self, page: u32, index: u32) {
        let Some(item) = self
            .items
            .get_mut(&(page, index))
            .filter(|item| item.change != RowChange::Delete)
        else {
            return;
        };
        let counts = &mut self.job.counts;
        let delayed = u64::from(item.row.due.is_some());
        let fits = counts.item_rows.subtract(1)
            & counts.fractions.subtract(item.row.fraction.into())
            & counts.delayed.subtract(delayed);
        self.miscounted |= !fits;
        item.change = RowChange::Delete;
        self.changed = true;
    }

    /// Deletes all item rows of a page that is opened again for a new run. The counters of the new
    /// run do not count them any more. The page's item rows must be in the slice.
    pub(crate) fn drop_page_items(&mut self, page: u32) {
        for item in self
            .items
            .range_mut((page, 0)..=(page, u32::MAX))
            .map(|(_, item)| item)
        {
            if item.change != RowChange::Delete {
                item.change = RowChange::Delete;
                self.miscounted |= !self.job.counts.item_rows.subtract(1);
            }
        }
    }

    /// Adds a dispatch to the effects, joined with an earlier one of the same page.
    pub(crate) fn dispatch(&mut self, page: u32, mut indexes: Vec<u32>) {
        if indexes.is_empty() {
            return;
        }
        let now = self.moment.now;
        if let Some(page) = self.page_mut(page) {
            page.touched = now;
        }
        for effect in &mut self.effects {
            if let Effect::Dispatch {
                page: other,
                indexes: more,
            } = effect
                && *other == page
            {
                more.append(&mut indexes);
                more.sort_unstable();
                more.dedup();
                return;
            }
        }
        self.effects.push(Effect::Dispatch { page, indexes });
    }

    pub(crate) fn record_failure(
        &mut self,
        subject: Subject,
        failure: Failed,
        attempt: u32,
        worker: &str,
    ) {
        self.changed = true;
        self.job.counts.failures += 1;
        self.failures.push(NewFailure {
            subject,
            failure,
            attempt,
            run: self.job.run,
            worker: worker.to_owned(),
        });
    }

    /// Records why the job as a whole fails.
    pub(crate) fn record_job_failure(&mut self, failure: Failed) {
        self.record_failure(Subject::Job, failure, 1, "");
    }
}
