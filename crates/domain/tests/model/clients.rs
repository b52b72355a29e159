//! What clients do to the job.

use std::collections::BTreeSet;

use headway_domain::{
    Error, JobSlice,
    reports::{NewFailure, Subject},
    retries::CarriedCounts,
};

use super::{message::End, source::LeafId, store::Touch, world::World};

impl World {
    /// A client's action. One that is refused changes nothing.
    fn control(
        &mut self,
        end: End,
        action: fn(&mut JobSlice) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut slice = self.store.open(self.moment(), &[]);
        let result = action(&mut slice);
        if result.is_err() {
            assert!(!slice.has_changed() && slice.job() == self.job());
            return result;
        }
        self.finish(slice, end);
        result
    }

    pub(crate) fn pause(&mut self, end: End) -> Result<(), Error> {
        self.control(end, JobSlice::pause)
    }

    pub(crate) fn resume(&mut self, end: End) -> Result<(), Error> {
        self.control(end, JobSlice::resume)
    }

    pub(crate) fn cancel(&mut self, end: End) -> Result<(), Error> {
        self.control(end, JobSlice::cancel)
    }

    pub(crate) fn retry(&mut self, end: End) -> Result<(), Error> {
        self.control(end, JobSlice::retry)
    }

    /// A client runs some of the failed items again: those whose index is none of every `kept`-th.
    pub(crate) fn retry_some(&mut self, kept: u32, end: End) -> Result<(), Error> {
        let run = self.job().run;
        let of_run = |failure: &&NewFailure| {
            let index = match failure.subject {
                Subject::Item(_, index) => Some(index),
                Subject::Page(_) | Subject::Job => None,
            };
            failure.run == run && index.is_some_and(|index| index % kept == 0)
        };
        let carried: Vec<NewFailure> = self.store.failures.iter().filter(of_run).cloned().collect();
        let mut slice = self.store.open(self.moment(), &[]);
        let result = slice.retry_carrying(CarriedCounts {
            items: carried.len() as u64,
            splits: 0,
        });
        if result.is_err() {
            assert!(!slice.has_changed() && slice.job() == self.job());
            return result;
        }
        let before = self.store.failures.len();
        let leaves = carried.iter().filter_map(|failure| match failure.subject {
            Subject::Item(page, index) => self.leaves.get(&(page, index)).copied(),
            Subject::Page(_) | Subject::Job => None,
        });
        let leaves: Vec<LeafId> = leaves.collect();
        let next = carried.into_iter().map(|failure| NewFailure {
            run: run + 1,
            ..failure
        });
        self.store.failures.extend(next);
        self.finish(slice, end);
        if self.job().run == run {
            self.store.failures.truncate(before);
        } else {
            self.accused.extend(leaves);
        }
        result
    }

    /// A client runs some of the failures again while the job goes on: those of items whose index
    /// is none of every `kept`-th, and of pages.
    pub(crate) fn redrive(&mut self, kept: u32, end: End) -> Result<(), Error> {
        let run = self.job().run;
        let of = |failure: &NewFailure| match failure.subject {
            Subject::Item(page, index) if !index.is_multiple_of(kept) => Some((page, Some(index))),
            Subject::Page(page) => Some((page, None)),
            Subject::Item(..) | Subject::Job => None,
        };
        let of = |failure: &NewFailure| of(failure).filter(|_| failure.run == run);
        let meant: Vec<_> = self.store.failures.iter().filter_map(of).collect();
        let pages: BTreeSet<u32> = meant.iter().map(|(page, _)| *page).collect();
        let touched: Vec<Touch> = pages.into_iter().map(Touch::all).collect();
        let mut slice = self.store.open(self.moment(), &touched);
        self.store.load_batches(&mut slice);
        let result = slice.redrive(&meant);
        let Ok(redriven) = result else {
            assert!(!slice.has_changed() && slice.job() == self.job());
            return result.map(drop);
        };
        assert_eq!(redriven, meant.len() as u64, "a failure without an item");
        let before = self.store.failures.clone();
        self.store.failures.retain(|failure| of(failure).is_none());
        self.finish(slice, end);
        if end == End::Undone {
            self.store.failures = before;
        }
        Ok(())
    }
}
