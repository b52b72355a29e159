//! The rows of one job that a transaction holds, with the change of each row and the messages that
//! follow the commit.

use std::collections::BTreeMap;

use super::{
    effect::Effect,
    rows::{Moment, RowChange, TrackedRow},
};
use crate::{
    batches::{batch::Batch, item::Item, page::Page},
    events::{caller::Caller, event::NewEvent},
    jobs::{history::Sample, job::Job},
    reports::failure::NewFailure,
    retries::carried::PageFailures,
};

/// The rows of one job that a transaction holds.
#[derive(Debug, Clone)]
pub struct JobSlice {
    pub(super) job: Job,
    /// What the transaction knows beside the rows.
    pub(super) moment: Moment,
    /// Loaded and new batches by number.
    pub(super) batches: BTreeMap<u32, TrackedRow<Batch>>,
    /// Loaded and new pages by number.
    pub(super) pages: BTreeMap<u32, TrackedRow<Page>>,
    /// Loaded and new item rows by page and index.
    pub(super) items: BTreeMap<(u32, u32), TrackedRow<Item>>,
    /// Carried failures of pages of an older run, by page. Only needed if [`Job::carried`] is not
    /// 0.
    pub(super) carried: BTreeMap<u32, PageFailures>,
    /// Failures to insert.
    pub(super) failures: Vec<NewFailure>,
    /// An entry of the job's history to insert.
    pub(super) sample: Option<Sample>,
    /// Events to insert.
    pub(super) events: Vec<NewEvent>,
    /// Who asks for the change.
    pub(super) caller: Caller,
    /// Messages and broadcasts that follow the commit.
    pub(super) effects: Vec<Effect>,
    /// Whether anything changed.
    pub(super) changed: bool,
    /// Whether a counter would have fallen below zero. Then the slice must not be stored.
    pub(super) miscounted: bool,
}

/// A slice taken apart, for a store that writes it.
#[derive(Debug)]
pub struct SliceParts {
    /// The job.
    pub job: Job,
    /// What the transaction knows beside the rows.
    pub moment: Moment,
    /// Loaded and new batches by number.
    pub batches: BTreeMap<u32, TrackedRow<Batch>>,
    /// Loaded and new pages by number.
    pub pages: BTreeMap<u32, TrackedRow<Page>>,
    /// Loaded and new item rows by page and index.
    pub items: BTreeMap<(u32, u32), TrackedRow<Item>>,
    /// Failures to insert.
    pub failures: Vec<NewFailure>,
    /// An entry of the job's history to insert.
    pub sample: Option<Sample>,
    /// Events to insert.
    pub events: Vec<NewEvent>,
    /// Who asks for the change.
    pub caller: Caller,
    /// Messages and broadcasts that follow the commit.
    pub effects: Vec<Effect>,
    /// Whether the job ended in this transaction.
    pub ended: bool,
}

impl JobSlice {
    /// A slice with the job alone.
    pub fn new(job: Job, moment: Moment) -> Self {
        Self {
            job,
            moment,
            batches: BTreeMap::new(),
            pages: BTreeMap::new(),
            items: BTreeMap::new(),
            carried: BTreeMap::new(),
            failures: Vec::new(),
            sample: None,
            events: Vec::new(),
            caller: Caller::default(),
            effects: Vec::new(),
            changed: false,
            miscounted: false,
        }
    }

    /// The job.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// What the transaction knows beside the rows.
    pub fn moment(&self) -> &Moment {
        &self.moment
    }

    /// Loaded and new batches by number.
    pub fn batch_rows(&self) -> &BTreeMap<u32, TrackedRow<Batch>> {
        &self.batches
    }

    /// Loaded and new pages by number.
    pub fn page_rows(&self) -> &BTreeMap<u32, TrackedRow<Page>> {
        &self.pages
    }

    /// Loaded and new item rows by page and index.
    pub fn item_rows(&self) -> &BTreeMap<(u32, u32), TrackedRow<Item>> {
        &self.items
    }

    /// Failures to insert.
    pub fn failures(&self) -> &[NewFailure] {
        &self.failures
    }

    /// Events to insert.
    pub fn events(&self) -> &[NewEvent] {
        &self.events
    }

    /// Messages and broadcasts that follow the commit.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// Whether the transaction changes anything. If not, nothing is to be written.
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// How many pages and batches are in the slice, deleted ones included.
    pub fn loaded(&self) -> usize {
        self.pages.len() + self.batches.len()
    }

    /// The pages of an older run. Opening such a page deletes its item rows, so these must be
    /// loaded.
    pub fn older_pages(&self) -> Vec<u32> {
        self.pages
            .values()
            .filter(|page| page.change != RowChange::Delete && page.row.run < self.job.run)
            .map(|page| page.row.number)
            .collect()
    }

    /// Sets who asks for the change.
    pub fn set_caller(&mut self, caller: Caller) {
        self.caller = caller;
    }

    /// Adds the carried failures of a page of an older run. Only needed if [`Job::carried`] is not
    /// 0.
    pub fn add_carried(&mut self, page: u32, carried: PageFailures) {
        self.carried.insert(page, carried);
    }

    /// Removes the dispatch of a page from the effects and returns its items, for a caller that
    /// sends them itself.
    pub fn take_dispatch(&mut self, page: u32) -> Vec<u32> {
        let mut taken = Vec::new();
        self.effects.retain_mut(|effect| match effect {
            Effect::Dispatch {
                page: other,
                indexes,
            } if *other == page => {
                taken.append(indexes);
                false
            }
            Effect::Dispatch { .. } | Effect::Split { .. } | Effect::Control { .. } => true,
        });
        taken
    }

    /// The job alone, for a transaction that writes nothing.
    pub fn into_job(self) -> Job {
        self.job
    }

    /// Takes the slice apart, for a store that writes it.
    pub fn into_parts(self) -> SliceParts {
        SliceParts {
            ended: self.ended_now(),
            job: self.job,
            moment: self.moment,
            batches: self.batches,
            pages: self.pages,
            items: self.items,
            failures: self.failures,
            sample: self.sample,
            events: self.events,
            caller: self.caller,
            effects: self.effects,
        }
    }

    /// Adds a loaded batch, unless the slice has it.
    pub fn add_batch(&mut self, batch: Batch) {
        self.batches.entry(batch.number).or_insert(TrackedRow {
            row: batch,
            change: RowChange::Unchanged,
        });
    }

    /// Adds a loaded page, unless the slice has it.
    pub fn add_page(&mut self, page: Page) {
        self.pages.entry(page.number).or_insert(TrackedRow {
            row: page,
            change: RowChange::Unchanged,
        });
    }

    /// Adds a loaded item row, unless the slice has it.
    pub fn add_item(&mut self, item: Item) {
        self.items
            .entry((item.page, item.index))
            .or_insert(TrackedRow {
                row: item,
                change: RowChange::Unchanged,
            });
    }

    /// A page that is in the slice and not deleted.
    pub fn page(&self, number: u32) -> Option<&Page> {
        self.pages
            .get(&number)
            .filter(|page| page.change != RowChange::Delete)
            .map(|page| &page.row)
    }

    /// A batch that is in the slice and not deleted.
    pub fn batch(&self, number: u32) -> Option<&Batch> {
        self.batches
            .get(&number)
            .filter(|batch| batch.change != RowChange::Delete)
            .map(|batch| &batch.row)
    }

    /// The row of an item in an exceptional state.
    pub fn item(&self, page: u32, index: u32) -> Option<&Item> {
        self.items
            .get(&(page, index))
            .filter(|item| item.change != RowChange::Delete)
            .map(|item| &item.row)
    }
}
