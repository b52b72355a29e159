//! The rows of one job in memory, and transactions over slices of them, as a real store does them:
//! only what is asked for is loaded, pages come without their content, and every row is written
//! back by its mark alone.

use std::collections::BTreeMap;

use headway_domain::{
    Job, JobSlice,
    batches::{Batch, Item, Page, PageContent, PageState, Todo},
    events::{EventKind, NewEvent},
    reports::{NewFailure, Subject},
    retries::PageFailures,
    slice::{Effect, Moment, Needs, RowChange},
};

/// Whether a page is of the kind that is looked for.
type Fits<'a> = &'a dyn Fn(&Page) -> bool;

/// Item rows that a transaction loads with a page.
#[derive(Debug, Clone)]
pub(crate) enum Rows {
    /// None.
    None,
    /// Those of some children.
    Some(Vec<u32>),
    /// All.
    All,
}

/// A page that a transaction touches.
#[derive(Debug, Clone)]
pub(crate) struct Touch {
    /// Its number.
    pub page: u32,
    /// The item rows that come with it.
    pub rows: Rows,
    /// Whether its content comes too, as for a split.
    pub content: bool,
}

impl Touch {
    /// A page and some of its item rows.
    pub(crate) fn some(page: u32, indexes: Vec<u32>) -> Self {
        Self {
            page,
            rows: Rows::Some(indexes),
            content: false,
        }
    }

    /// A page and all of its item rows.
    pub(crate) fn all(page: u32) -> Self {
        Self {
            page,
            rows: Rows::All,
            content: false,
        }
    }

    /// A page to be split.
    pub(crate) fn split(page: u32) -> Self {
        Self {
            page,
            rows: Rows::None,
            content: true,
        }
    }
}

/// What is stored of one job.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Store {
    /// The job's row.
    pub job: Job,
    /// Batches, without definitions.
    pub batches: BTreeMap<u32, Batch>,
    /// Definitions of sub-batches.
    pub definitions: BTreeMap<u32, Vec<u8>>,
    /// Pages, without content.
    pub pages: BTreeMap<u32, Page>,
    /// The contents of pages.
    pub contents: BTreeMap<u32, PageContent>,
    /// Item rows.
    pub items: BTreeMap<(u32, u32), Item>,
    /// Failures of all runs.
    pub failures: Vec<NewFailure>,
    /// What the audit log tells.
    pub events: Vec<NewEvent>,
    /// How many batches all transactions together had in their slices.
    pub batches_seen: usize,
}

impl Store {
    /// Nothing but a job that is about to be created.
    pub(crate) fn new(job: Job) -> Self {
        Self {
            job,
            batches: BTreeMap::new(),
            definitions: BTreeMap::new(),
            pages: BTreeMap::new(),
            contents: BTreeMap::new(),
            items: BTreeMap::new(),
            failures: Vec::new(),
            events: Vec::new(),
            batches_seen: 0,
        }
    }

    /// A slice with the job and the pages that a transaction touches. Batches come with `needs`.
    pub(crate) fn open(&self, moment: Moment, touched: &[Touch]) -> JobSlice {
        let mut slice = JobSlice::new(self.job.clone(), moment);
        for touch in touched {
            let Some(mut page) = self.pages.get(&touch.page).cloned() else {
                continue;
            };
            if touch.content {
                page.content = self.contents.get(&touch.page).cloned();
            }
            slice.add_page(page);
            let rows = self.rows(touch.page);
            match &touch.rows {
                Rows::None => {}
                Rows::Some(indexes) => rows
                    .filter(|item| indexes.contains(&item.index))
                    .for_each(|item| slice.add_item(item.clone())),
                Rows::All => rows.for_each(|item| slice.add_item(item.clone())),
            }
        }
        slice
    }

    /// The failures of a run that a page has which was not opened in it.
    pub(crate) fn carried(&self, page: u32, run: u32) -> PageFailures {
        let mut carried = PageFailures::default();
        for failure in self.failures.iter().filter(|failure| failure.run == run) {
            match failure.subject {
                Subject::Item(of, index) if of == page => carried.items.push(index),
                Subject::Page(of) if of == page => carried.split = true,
                Subject::Item(..) | Subject::Page(_) | Subject::Job => {}
            }
        }
        carried
    }

    fn rows(&self, page: u32) -> impl Iterator<Item = &Item> {
        self.items
            .range((page, 0)..=(page, u32::MAX))
            .map(|row| row.1)
    }

    /// Loads what `advance` wants, at most `most` pages of a kind; tells whether anything was new.
    fn load(&self, slice: &mut JobSlice, needs: &Needs, most: usize, reopens: usize) -> bool {
        let before = slice.loaded();
        for batch in needs
            .batches
            .iter()
            .filter_map(|number| self.batches.get(number))
        {
            slice.add_batch(batch.clone());
        }
        let run = self.job.run.max(slice.job().run);
        let kinds: [(usize, Fits<'_>); 4] = [
            (needs.release, &|page| page.todo() == Todo::Release),
            (needs.unpark, &|page| page.todo() == Todo::Unpark),
            (needs.split, &|page| page.todo() == Todo::Split),
            (needs.reopen, &|page| {
                page.run < run && !matches!(page.state, PageState::Unsplit | PageState::Splitting)
            }),
        ];
        for (wanted, fits) in kinds {
            // Pages of an older run may also come as pages to release or to unpark.
            let stale = |page: &Page| page.run < run && page.state != PageState::Unsplit;
            let mut room = reopens.saturating_sub(
                slice
                    .page_rows()
                    .keys()
                    .filter(|page| self.pages.get(page).is_some_and(&stale))
                    .count(),
            );
            let mut found: Vec<&Page> = self
                .pages
                .values()
                .filter(|page| fits(page) && !slice.page_rows().contains_key(&page.number))
                .collect();
            found.sort_by_key(|page| (std::cmp::Reverse(page.depth), page.number));
            for page in found.into_iter().take(wanted.min(most)) {
                if stale(page) && room == 0 {
                    continue;
                }
                room -= usize::from(stale(page));
                slice.add_page(page.clone());
            }
        }
        // Whatever is opened again forgets the states of its items.
        let old: Vec<u32> = slice
            .page_rows()
            .values()
            .filter(|page| page.row.run < run)
            .map(|page| page.row.number)
            .collect();
        for page in old {
            self.rows(page)
                .for_each(|item| slice.add_item(item.clone()));
            if slice.job().carried > 0 {
                slice.add_carried(page, self.carried(page, run));
            }
        }
        slice.loaded() > before
    }

    /// Loads and advances until nothing is wanted or nothing new comes, and seals.
    pub(crate) fn settle(&self, slice: &mut JobSlice, most: usize, reopens: usize) {
        loop {
            loop {
                let needs = slice.needs();
                if needs.is_empty() || !self.load(slice, &needs, most, reopens) {
                    break;
                }
            }
            slice.advance();
            let needs = slice.needs();
            if needs.is_empty() || !self.load(slice, &needs, most, reopens) {
                break;
            }
        }
        let mut again = slice.clone();
        again.advance();
        assert_eq!(again.job(), slice.job(), "advance had not finished");
        assert_eq!(again.effects(), slice.effects(), "advance had not finished");
        slice.seal();
    }

    /// Loads the batches of the touched pages, as a change to a page may need them.
    pub(crate) fn load_batches(&self, slice: &mut JobSlice) {
        let batches = slice
            .page_rows()
            .values()
            .map(|page| page.row.batch)
            .collect();
        let needs = Needs {
            batches,
            ..Needs::default()
        };
        self.load(slice, &needs, 0, 0);
    }

    /// Writes back what changed and returns the messages of the outbox.
    pub(crate) fn commit(&mut self, slice: JobSlice) -> Vec<Effect> {
        assert!(
            slice.counts_agree(),
            "counters that a store would refuse: {:?}",
            slice.job().counts
        );
        let changed = slice.has_changed();
        if !changed {
            assert!(*slice.job() == self.job, "a change that nothing tells of");
            assert!(slice.effects().is_empty() && slice.failures().is_empty());
            assert!(slice.events().is_empty(), "an event of nothing");
        }
        self.check_events(&slice);
        if changed {
            self.batches_seen += slice.batch_rows().len();
        }
        let slice = slice.into_parts();
        for (number, tracked) in slice.batches {
            let mut row = tracked.row;
            if let Some(definition) = row.definition.take() {
                self.definitions.insert(number, definition);
            }
            if tracked.change == RowChange::Delete {
                self.definitions.remove(&number);
            }
            write(&mut self.batches, number, row, tracked.change, changed);
        }
        for (number, tracked) in slice.pages {
            let mut row = tracked.row;
            if let Some(content) = row.content.take() {
                self.contents.insert(number, content);
            }
            if tracked.change == RowChange::Delete {
                self.contents.remove(&number);
            }
            write(&mut self.pages, number, row, tracked.change, changed);
        }
        for (key, tracked) in slice.items {
            // A row may come and go within one transaction.
            if tracked.change == RowChange::Delete {
                self.items.remove(&key);
            } else {
                write(&mut self.items, key, tracked.row, tracked.change, changed);
            }
        }
        self.failures.extend(slice.failures);
        self.events.extend(slice.events);
        self.job = slice.job;
        slice.effects
    }
}

impl Store {
    /// The audit log tells of every beginning, start, end and settling of every run, once.
    fn check_events(&self, slice: &JobSlice) {
        let all = || self.events.iter().chain(slice.events());
        let count = |kind| all().filter(|event| event.kind == kind).count();
        let ends = [
            EventKind::Completed,
            EventKind::Failed,
            EventKind::Cancelled,
        ];
        let is_end = |event: &NewEvent| ends.contains(&event.kind);
        assert_eq!(count(EventKind::Created), 1);
        assert_eq!(
            all().next().map(|event| event.kind),
            Some(EventKind::Created)
        );
        assert_eq!(
            count(EventKind::Started),
            usize::from(slice.job().started.is_some())
        );
        // One that tells of items takes failures back in a job that runs.
        let redrives = all().filter(|event| event.kind == EventKind::Retried && event.items > 0);
        let runs = count(EventKind::Retried) - redrives.count();
        assert_eq!(runs, usize::try_from(slice.job().run).unwrap());
        let ended = all().filter(|event| is_end(event)).count();
        assert_eq!(ended, runs + usize::from(slice.job().phase.is_final()));
        let settled = slice.job().settled.is_some() && self.job.settled.is_none();
        let told = |event: &NewEvent| is_end(event) || event.kind == EventKind::Settled;
        assert!(!settled || slice.events().iter().any(told));
        let holds = count(EventKind::Paused) - count(EventKind::Resumed);
        assert!(!slice.job().paused || holds > 0);
        let told = slice.events().iter();
        let told = told.filter(|event| event.kind == EventKind::FailureRecorded);
        // Later ones are told of whenever their number has doubled.
        let told = told.map(|event| event.items).sum::<u64>();
        assert!(told == slice.failures().len() as u64 || slice.job().counts.failures >= 100);
    }
}

fn write<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    rows: &mut BTreeMap<K, V>,
    key: K,
    row: V,
    change: RowChange,
    changed: bool,
) {
    assert!(
        changed || change == RowChange::Unchanged,
        "a row changed without notice"
    );
    match change {
        RowChange::Unchanged => {
            assert_eq!(rows.get(&key), Some(&row), "a change that is not marked")
        }
        RowChange::Update => assert!(rows.insert(key, row).is_some(), "an update of nothing"),
        RowChange::Insert => assert!(rows.insert(key, row).is_none(), "a row inserted twice"),
        RowChange::Delete => assert!(rows.remove(&key).is_some(), "a deletion of nothing"),
    }
}
