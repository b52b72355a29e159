//! The rows that `advance` needs, and how much work it may release.

use super::{job_slice::JobSlice, rows::RowChange};
use crate::batches::page::{PageState, Todo};

/// While a job has this many pages with open children, no more pages are split. So stragglers in
/// many pages do not make the number of rows grow.
const MAX_OPEN_PAGES: u64 = 1024;
/// Pages of one kind that `advance` asks for in one round.
const MAX_PAGES_PER_ROUND: usize = 64;

/// The rows that `advance` needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Numbers of batches: those of pages that end, and the parents of batches that fold.
    pub batches: Vec<u32>,
    /// How many pages with items to release.
    pub release: usize,
    /// How many pages with parked items.
    pub unpark: usize,
    /// How many pages to split.
    pub split: usize,
    /// How many pages of an earlier run.
    pub reopen: usize,
}

impl Needs {
    /// Whether no rows are needed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl JobSlice {
    /// The rows that [`JobSlice::advance`] needs beside those in the slice. Load them and ask
    /// again, until no rows are needed or the last load brought nothing new.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs {
            batches: self.unseen_batches(),
            ..Needs::default()
        };
        if !self.job.is_running() {
            return needs;
        }
        let counts = &self.job.counts;
        if counts.reopen > 0 && self.may_open_more() {
            needs.reopen = MAX_PAGES_PER_ROUND.min(counts.reopen as usize);
        }
        if counts.parked > 0 && self.may_unpark() > 0 {
            needs.unpark = MAX_PAGES_PER_ROUND;
        }
        if counts.unreleased > 0 && self.may_release() {
            needs.release = MAX_PAGES_PER_ROUND;
        }
        needs.split = self.splits_wanted().saturating_sub(self.unsplit_seen());
        needs
    }

    fn unseen_batches(&self) -> Vec<u32> {
        let finished = self.pages.values().filter(|page| {
            page.change != RowChange::Delete
                && (page.row.run < self.job.run
                    || page.row.state == PageState::Splitting
                    || (page.row.state == PageState::Open && page.row.open_items() == 0))
        });
        let mut unseen: Vec<u32> = finished
            .map(|page| page.row.batch)
            .chain(self.folding().map(|(_, parent)| parent))
            .filter(|batch| !self.batches.contains_key(batch))
            .collect();
        unseen.sort_unstable();
        unseen.dedup();
        unseen
    }

    /// Finished batches, each with the parent that it folds into.
    pub(super) fn folding(&self) -> impl Iterator<Item = (u32, u32)> {
        self.batches
            .values()
            .filter(|batch| batch.change != RowChange::Delete && batch.row.is_finished())
            .filter_map(|batch| Some((batch.row.number, batch.row.parent?)))
    }

    fn unsplit_seen(&self) -> usize {
        self.pages
            .values()
            .filter(|page| page.change != RowChange::Delete && page.row.todo() == Todo::Split)
            .count()
    }

    /// How many items may be released now.
    pub(super) fn free(&self) -> u64 {
        self.job.sendable(self.job.counts.out())
    }

    /// Whether enough is free to be worth a dispatch: an eighth of the limit, or all remaining
    /// items.
    pub(super) fn may_release(&self) -> bool {
        let (free, counts) = (self.free(), &self.job.counts);
        let worth = (self.job.limit() / 8).max(1).min(counts.unreleased);
        let metered = self.job.tokens.is_some();
        free > 0 && (free >= worth || counts.in_flight() == 0 || metered)
    }

    /// How many parked items may be sent now.
    pub(super) fn may_unpark(&self) -> u64 {
        let counts = &self.job.counts;
        self.job
            .sendable(counts.out().saturating_sub(counts.parked))
    }

    pub(super) fn may_open_more(&self) -> bool {
        self.job.counts.open < MAX_OPEN_PAGES || self.job.counts.out() == 0
    }

    /// How many pages to hand to batch workers now: enough to find the next items before the window
    /// is empty, estimated by the mean page so far.
    pub(super) fn splits_wanted(&self) -> usize {
        let counts = &self.job.counts;
        let room = self
            .moment
            .splits
            .saturating_sub(counts.splitting)
            .min(counts.unsplit);
        if room == 0 || !self.may_open_more() {
            return 0;
        }
        let pages = counts.undeclared_pages.max(1);
        let page = match counts.undeclared_pages {
            0 => u64::from(self.job.page_limit()),
            _ => counts
                .undeclared
                .div_ceil(pages)
                .clamp(1, u64::from(self.job.page_limit())),
        };
        let ahead = self.job.limit().max(1) + 2 * u64::from(self.job.page_limit());
        let coming = counts.out() + counts.unreleased + counts.splitting * page;
        if counts.splitting == 0 && counts.unreleased == 0 {
            return room.min(ahead.saturating_sub(coming).div_ceil(page).max(1)) as usize;
        }
        room.min(ahead.saturating_sub(coming) / page) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slice::testing::job;

    #[test]
    fn counters_that_disagree_do_not_widen_the_window() {
        let mut slice = job(0, |_| {});
        slice.advance();
        assert_eq!(slice.job.counts.out(), 1);
        slice.job.counts.parked = 5;
        assert_eq!(slice.may_unpark(), slice.job.limit());
        assert_eq!(slice.needs().unpark, MAX_PAGES_PER_ROUND);
    }
}
