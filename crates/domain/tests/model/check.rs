//! What must hold after every transaction, computed from the rows alone.

use headway_domain::{
    JobState,
    batches::{Page, PageState},
    jobs::{Counts, Phase},
    reports::{NewFailure, Subject},
};

use super::{store::Store, world::World};

/// The rows before a transaction.
pub(crate) struct Before(Store);

impl Before {
    /// Keeps the rows.
    pub(crate) fn of(store: &Store) -> Self {
        Self(store.clone())
    }
}

/// Checks every invariant that one transaction could break.
pub(crate) fn check(world: &mut World, before: &Before) {
    let before = &before.0;
    counters(&world.store);
    rows(&world.store);
    batches(&world.store);
    done_once(world, before);
    deletions(&world.store, before);
    history(&world.store, before);
    bounds(&world.store, before, world.moment().splits);
    liveness(&world.store);
}

fn count(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.sum()
}

fn split(page: &&Page) -> bool {
    !matches!(page.state, PageState::Unsplit | PageState::Splitting)
}

/// Every counter equals what the rows say. A page of an older run counts as one to open again,
/// and its failed and discarded bits read as open.
fn counters(store: &Store) {
    let (job, pages) = (&store.job, || store.pages.values());
    let current = || pages().filter(|page| page.run == job.run);
    let old = || pages().filter(split).filter(|page| page.run < job.run);
    let state = |state: PageState| count(current().map(|page| u64::from(page.state == state)));
    // What a batch that is done and kept says, the one above it says too.
    let live = || store.batches.values().filter(|batch| !batch.finished);
    let folded = count(live().map(|batch| batch.done));
    let timed = |page: &u32| {
        store
            .pages
            .get(page)
            .is_some_and(|page| page.run == job.run)
    };
    let items = || store.items.values().filter(|item| timed(&item.page));
    // What is carried of a page that was not opened again yet.
    let carried = |page: &Page| {
        let of = |failure: &&NewFailure| {
            failure.run == job.run
                && matches!(failure.subject, Subject::Item(number, _) if number == page.number)
        };
        store.failures.iter().filter(of).count() as u64
    };
    let unsent = |page: &Page| {
        page.open_indexes()
            .filter(|index| *index >= page.released || page.again.contains(*index))
            .count()
    };
    let expected = Counts {
        known: folded + count(pages().map(|page| u64::from(page.items()))),
        done: folded + count(pages().map(|page| u64::from(page.done.len()))),
        failed: count(current().map(|page| u64::from(page.failed.len())))
            + count(old().map(carried)),
        discarded: count(current().map(|page| u64::from(page.discarded.len()))),
        unreleased: count(current().map(|page| unsent(page) as u64))
            + count(old().map(|page| u64::from(page.items() - page.done.len()) - carried(page))),
        parked: count(current().map(|page| u64::from(page.parked.len()))),
        delayed: count(items().map(|item| u64::from(item.due.is_some()))),
        item_rows: store.items.len() as u64,
        fractions: count(items().map(|item| u64::from(item.fraction))),
        unsplit: count(pages().map(|page| u64::from(page.state == PageState::Unsplit))),
        splitting: count(pages().map(|page| u64::from(page.state == PageState::Splitting))),
        open: state(PageState::Open),
        retained: state(PageState::Retained),
        split_failed: state(PageState::SplitFailed),
        reopen: old().count() as u64,
        undeclared_unsplit: count(
            pages()
                .filter(|page| !split(page))
                .map(|page| u64::from(!page.declared)),
        ),
        failures: store
            .failures
            .iter()
            .filter(|failure| failure.run == job.run)
            .count() as u64
            + job.counts.redriven,
        // What was taken back has no rows.
        redriven: job.counts.redriven,
        // Sums over all that was ever split: nothing in the rows tells them any more.
        declared: job.counts.declared,
        undeclared: job.counts.undeclared,
        undeclared_pages: job.counts.undeclared_pages,
    };
    assert_eq!(job.counts, expected, "counters and rows differ");
    let counts = &job.counts;
    let open = counts.known - counts.done - counts.failed - counts.discarded;
    assert_eq!(counts.open_items(), open);
    let in_flight = current().map(|page| out(store, page));
    assert_eq!(counts.in_flight(), count(in_flight), "in flight");
}

/// Items of a page that are in pipes, at workers or leased.
fn out(store: &Store, page: &Page) -> u64 {
    let out = page.open_indexes().filter(|index| {
        let row = store.items.get(&(page.number, *index));
        *index < page.released
            && !page.again.contains(*index)
            && !page.parked.contains(*index)
            && row.is_none_or(|row| row.due.is_none())
    });
    out.count() as u64
}

fn rows(store: &Store) {
    for page in store.pages.values() {
        assert_eq!(page.content, None);
        assert!(store.contents.contains_key(&page.number));
        let sets = [&page.done, &page.failed, &page.discarded, &page.sub];
        for (at, set) in sets.iter().enumerate() {
            for index in set.iter() {
                assert!(index < page.count);
                assert!(!sets[at + 1..].iter().any(|other| other.contains(index)));
            }
        }
        for index in page.parked.iter() {
            assert!(page.is_open(index) && index < page.released && !page.again.contains(index));
        }
        for index in page.again.iter() {
            assert!(page.is_open(index) && index < page.released);
            assert!(page.state == PageState::Open);
        }
        if page.state == PageState::Open && page.run == store.job.run {
            assert!(page.open_items() > 0, "a finished page is open");
        }
        assert!(page.run <= store.job.run);
    }
    for item in store.items.values() {
        let page = &store.pages[&item.page];
        assert_eq!(page.state, PageState::Open, "an item row outlived its item");
        assert!(page.is_open(item.index) && item.index < page.released);
        assert!(
            !page.again.contains(item.index),
            "an item that starts again has a past"
        );
        assert!(item.due.is_none() || item.lease.is_none());
        if page.run == store.job.run && page.parked.contains(item.index) {
            assert!(item.rests_on_message(), "a parked item has a timer");
        }
    }
    assert_eq!(store.contents.len(), store.pages.len());
}

fn batches(store: &Store) {
    for batch in store.batches.values() {
        assert_eq!(batch.definition, None);
        let pages = || {
            store
                .pages
                .values()
                .filter(|page| page.batch == batch.number)
        };
        let kept =
            |page: &&Page| matches!(page.state, PageState::Retained | PageState::SplitFailed);
        let children = store.batches.values();
        let children =
            children.filter(|child| child.parent == Some(batch.number) && !child.finished);
        assert_eq!(batch.retained_pages as usize, pages().filter(kept).count());
        assert_eq!(
            batch.open_pages as usize,
            pages().filter(|page| !kept(page)).count()
        );
        assert_eq!(batch.children as usize, children.count());
        assert!(batch.parent.is_none() || !batch.is_finished(), "not folded");
        if batch.finished {
            assert!(batch.is_retained() && pages().count() == 0 && batch.children == 0);
            assert!(
                batch.done >= batch.items,
                "something is below a batch that is done"
            );
        }
        assert_eq!(
            batch.parent.is_some(),
            store.definitions.contains_key(&batch.number)
        );
    }
    assert!(
        store
            .pages
            .values()
            .all(|page| store.batches.contains_key(&page.batch))
    );
    assert_eq!(store.definitions.len() + 1, store.batches.len());
}

/// Each leaf is counted as done once and stays so.
fn done_once(world: &mut World, before: &Store) {
    for (number, page) in &before.pages {
        let after = world.store.pages.get(number);
        for index in (0..page.count).filter(|index| !page.sub.contains(*index)) {
            // A page is deleted only when all of it is done.
            let done = after.is_none_or(|after| after.done.contains(index));
            assert!(
                done || !page.done.contains(index),
                "an outcome was taken back"
            );
            if done && !page.done.contains(index) {
                let leaf = world.leaves[&(*number, index)];
                assert!(world.done.insert(leaf), "a leaf is done twice");
            }
        }
    }
    assert_eq!(world.store.job.counts.done, world.done.len() as u64);
}

/// Only what is wholly done is deleted.
fn deletions(store: &Store, before: &Store) {
    for page in before.pages.values() {
        if !store.pages.contains_key(&page.number) {
            assert!(page.failed.is_empty() || page.run < store.job.run);
            assert!(page.discarded.is_empty() || page.run < store.job.run);
            assert!(!store.items.keys().any(|(number, _)| *number == page.number));
        }
    }
    for batch in before.batches.keys() {
        if !store.batches.contains_key(batch) {
            assert!(store.pages.values().all(|page| page.batch != *batch));
            assert!(
                store
                    .batches
                    .values()
                    .all(|child| child.finished || child.parent != Some(*batch))
            );
        }
    }
}

/// What may never go back.
fn history(store: &Store, before: &Store) {
    let (job, was) = (&store.job, &before.job);
    let same = store == before;
    assert!(
        job.revision == was.revision + 1 || same,
        "a change without a revision"
    );
    assert!(job.updated >= was.updated);
    assert!(job.percentage() >= was.percentage());
    assert_eq!(job.percentage() >= 100.0, job.phase == Phase::Completed);
    assert!(job.control >= was.control);
    assert!(job.counts.done >= was.counts.done && job.counts.known >= was.counts.known);
    assert!(job.run == was.run || job.run == was.run + 1);
    if was.phase.is_final() && job.run == was.run {
        assert_eq!(
            (job.phase, job.ended),
            (was.phase, was.ended),
            "a final state changed"
        );
        assert!(was.settled.is_none() || job.settled == was.settled);
    }
    if job.run > was.run {
        assert!(matches!(was.phase, Phase::Failed | Phase::Cancelled) && was.settled.is_some());
    }
    assert_eq!(job.ended.is_some(), job.phase.is_final());
    let still = job.counts.in_flight() == 0 && job.counts.splitting == 0;
    assert_eq!(job.settled.is_some(), job.phase.is_final() && still);
    assert!(!(job.paused && job.phase.is_final()));
}

fn bounds(store: &Store, before: &Store, splits: u64) {
    let (counts, was) = (&store.job.counts, &before.job.counts);
    assert!(counts.out() <= u64::from(store.job.meta.spec.max_in_flight));
    assert!(
        counts.out() <= store.job.limit().max(was.out()),
        "too much was released"
    );
    assert!(counts.splitting <= splits);
}

/// A job that runs has something under way that will wake it.
fn liveness(store: &Store) {
    if !matches!(store.job.state(), JobState::Active | JobState::Waiting) {
        return;
    }
    let counts = &store.job.counts;
    let later = store.pages.values().any(|page| page.due.is_some());
    let job = &store.job;
    let used_up = counts.out() - counts.parked >= job.limit() || job.tokens == Some(0);
    assert!(
        counts.parked == 0 || used_up,
        "parked items of a running job"
    );
    // Whoever shares out the pipe looks at it.
    let shared =
        job.wants_credit() && (job.limit() == 0 || job.tokens == Some(0) || job.is_reopening());
    assert!(
        counts.in_flight() + counts.delayed + counts.splitting > 0 || later || shared,
        "nothing will ever wake the job: {counts:?}"
    );
}
