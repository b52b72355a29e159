//! What `advance` wants to see of a job before it runs, and how much it may do.

use super::{job_slice::JobSlice, rows::RowChange};
use crate::batches::page::{PageState, Todo};

/// Pages with open children that a job may have before no more are split: stragglers in many
/// pages must not make the open rows grow.
const MAX_OPEN_PAGES: u64 = 1024;
/// Pages looked at in one round.
const MAX_PAGES_PER_ROUND: usize = 64;

/// Rows that `advance` wants to see before it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Batches: those of pages that end, and those that batches fold into.
    pub batches: Vec<u32>,
    /// So many pages with items to release.
    pub release: usize,
    /// So many pages with parked items.
    pub unpark: usize,
    /// So many pages to split.
    pub split: usize,
    /// So many pages of an earlier run.
    pub reopen: usize,
}

impl Needs {
    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl JobSlice {
    /// Which rows [`JobSlice::advance`] wants to see beside those in the slice. Load them and ask again, until
    /// nothing is wanted or the last load brought nothing new.
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

    /// Batches that are done, each with the one that it folds into.
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

    /// Whether enough is free to be worth a dispatch: an eighth of the limit, or all that is left.
    pub(super) fn may_release(&self) -> bool {
        let (free, counts) = (self.free(), &self.job.counts);
        let worth = (self.job.limit() / 8).max(1).min(counts.unreleased);
        let metered = self.job.tokens.is_some();
        free > 0 && (free >= worth || counts.in_flight() == 0 || metered)
    }

    /// How many of the items that were set aside may be sent now.
    pub(super) fn may_unpark(&self) -> u64 {
        let counts = &self.job.counts;
        self.job
            .sendable(counts.out().saturating_sub(counts.parked))
    }

    pub(super) fn may_open_more(&self) -> bool {
        self.job.counts.open < MAX_OPEN_PAGES || self.job.counts.out() == 0
    }

    /// How many pages to hand to batch workers now: so many that the next items are found before
    /// the window runs dry, judged by the mean page so far.
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
