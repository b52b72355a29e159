//! The function that moves a job on. It folds finished pages and batches, releases as many items as
//! window and credit allow, and ends the job when no work is left. It runs in every transaction
//! that changes a job.

use super::{
    effect::{Disposition, Effect},
    job_slice::JobSlice,
    rows::RowChange,
};
use crate::{
    batches::{
        batch::Batch,
        page::{PageState, Todo},
    },
    events::event::EventKind,
    jobs::{
        failure_policy::Tolerance,
        lifecycle::Cause,
        progress::expected,
        state::{JobState, Phase},
    },
    values::counter::Counter,
};

impl JobSlice {
    /// Moves the job as far as the rows in the slice allow.
    pub fn advance(&mut self) {
        self.finish_pages();
        self.fold_batches();
        self.apply_failure_policy();
        if self.job.is_running() {
            self.reopen_pages();
            self.unpark();
            self.release();
            self.split();
        }
        self.finish_job();
        self.settle();
    }

    /// Stamps the change: revision, time, percentage and rate. Called once in a transaction, after
    /// the last [`JobSlice::advance`].
    pub fn seal(&mut self) {
        if !self.changed {
            return;
        }
        self.record_failures();
        let now = self.moment.now.max(self.job.updated);
        self.job.revision += 1;
        self.job.updated = now;
        self.job.note_progress(now);
        self.sample(now);
    }

    fn finish_pages(&mut self) {
        let finished: Vec<u32> = self
            .pages
            .values()
            .filter(|page| {
                page.change != RowChange::Delete
                    && page.row.state == PageState::Open
                    && page.row.run == self.job.run
                    && page.row.open_items() == 0
                    && self.batch(page.row.batch).is_some()
            })
            .map(|page| page.row.number)
            .collect();
        for number in finished {
            self.finish_page(number);
        }
    }

    pub(crate) fn finish_page(&mut self, number: u32) {
        let Some(page) = self.page(number) else {
            return;
        };
        let (batch, done) = (page.batch, u64::from(page.done.len()));
        let keep = !page.failed.is_empty() || !page.discarded.is_empty();
        self.miscounted |= !self.job.counts.open.subtract(1);
        if keep {
            self.job.counts.retained += 1;
            if let Some(page) = self.page_mut(number) {
                page.state = PageState::Retained;
            }
        } else {
            self.delete_page(number);
        }
        let Some(batch) = self.batch_mut(batch) else {
            return;
        };
        let fits = batch.open_pages.subtract(1);
        if keep {
            batch.retained_pages += 1;
        } else {
            batch.done += done;
        }
        self.miscounted |= !fits;
    }

    /// Folds finished batches into their parents, as far up as these are in the slice.
    /// [`JobSlice::needs`] asks for the others.
    pub(crate) fn fold_batches(&mut self) {
        let mut folding: Vec<(u32, u32)> = self.folding().collect();
        while let Some((number, parent)) = folding.pop() {
            let Some(done) = self
                .batch(parent)
                .and_then(|_| self.batch(number))
                .map(|batch| batch.done)
            else {
                continue;
            };
            if self.batch(number).is_some_and(Batch::is_retained) {
                if let Some(batch) = self.batch_mut(number) {
                    batch.finished = true;
                }
            } else {
                self.delete_batch(number);
            }
            let Some(above) = self.batch_mut(parent) else {
                continue;
            };
            let fits = above.children.subtract(1);
            above.done += done;
            if above.is_finished()
                && let Some(next) = above.parent
            {
                folding.push((parent, next));
            }
            self.miscounted |= !fits;
        }
    }

    fn apply_failure_policy(&mut self) {
        let policy = self.job.meta.spec.failure_policy;
        if !policy.stop || self.job.phase.is_final() {
            return;
        }
        let counts = &self.job.counts;
        let (total, total_final) = expected(counts);
        let known_total = total_final || matches!(policy.tolerance, Tolerance::Items(_));
        if known_total && policy.exceeded(counts.failed, total) {
            self.stop();
            self.control(Disposition::Discard);
        }
    }

    fn unpark(&mut self) {
        if self.job.counts.parked == 0 {
            return;
        }
        let run = self.job.run;
        let parked: Vec<u32> = self
            .pages
            .values()
            .filter(|page| {
                page.change != RowChange::Delete
                    && page.row.run == run
                    && !page.row.parked.is_empty()
            })
            .map(|page| page.row.number)
            .collect();
        for number in parked {
            let most = usize::try_from(self.may_unpark()).unwrap_or(usize::MAX);
            if most == 0 {
                return;
            }
            let Some(page) = self.page_mut(number) else {
                continue;
            };
            let indexes: Vec<u32> = page.parked.iter().take(most).collect();
            for index in &indexes {
                page.parked.remove(*index);
            }
            let items = indexes.len() as u64;
            self.miscounted |= !self.job.counts.parked.subtract(items);
            self.spend_tokens(items);
            self.dispatch(number, indexes);
        }
    }

    /// Releases items, deepest pages first.
    fn release(&mut self) {
        if self.job.counts.unreleased == 0 || !self.may_release() {
            return;
        }
        let run = self.job.run;
        let mut ready: Vec<(std::cmp::Reverse<u32>, u32)> = self
            .pages
            .values()
            .filter(|page| {
                page.change != RowChange::Delete
                    && page.row.state == PageState::Open
                    && page.row.run == run
                    && page.row.has_unreleased()
            })
            .map(|page| (std::cmp::Reverse(page.row.depth), page.row.number))
            .collect();
        ready.sort_unstable();
        for (_, number) in ready {
            let free = self.free();
            if free == 0 {
                return;
            }
            self.release_page(number, free);
        }
    }

    fn release_page(&mut self, number: u32, free: u64) {
        let epoch = self.moment.epoch;
        let Some(page) = self.page_mut(number) else {
            return;
        };
        let most = usize::try_from(free).unwrap_or(usize::MAX);
        let from = page.released;
        // Only if no item was out before: items of an older epoch are still to be repaired.
        if from == 0 {
            page.epoch = epoch;
        }
        let indexes: Vec<u32> = page
            .open_indexes()
            .filter(|index| *index >= from || page.again.contains(*index))
            .take(most)
            .collect();
        page.released = if indexes.len() < most {
            page.count
        } else {
            indexes.last().map_or(page.count, |last| from.max(last + 1))
        };
        for index in &indexes {
            page.again.remove(*index);
        }
        let items = indexes.len() as u64;
        self.miscounted |= !self.job.counts.unreleased.subtract(items);
        self.spend_tokens(items);
        self.dispatch(number, indexes);
        self.start();
    }

    /// Hands pages to batch workers, deepest first.
    fn split(&mut self) {
        let wanted = self.splits_wanted();
        if wanted == 0 {
            return;
        }
        let (run, now, epoch) = (self.job.run, self.moment.now, self.moment.epoch);
        let mut unsplit: Vec<(std::cmp::Reverse<u32>, u32)> = self
            .pages
            .values()
            .filter(|page| page.change != RowChange::Delete && page.row.todo() == Todo::Split)
            .map(|page| (std::cmp::Reverse(page.row.depth), page.row.number))
            .collect();
        unsplit.sort_unstable();
        for (_, number) in unsplit.into_iter().take(wanted) {
            let Some(page) = self.page_mut(number) else {
                continue;
            };
            page.state = PageState::Splitting;
            page.run = run;
            page.touched = now;
            page.epoch = epoch;
            let attempt = page.attempt;
            self.miscounted |= !self.job.counts.unsplit.subtract(1);
            self.job.counts.splitting += 1;
            self.effects.push(Effect::Split {
                page: number,
                attempt,
            });
            self.start();
        }
    }

    fn start(&mut self) {
        if self.job.phase == Phase::Waiting {
            self.job.phase = Phase::Active;
            self.check_transition(JobState::Waiting, Cause::Start);
            let now = self.moment.now;
            self.job.set_deadline(now);
        }
        if self.job.started.is_none() {
            self.job.started = Some(self.moment.now);
            self.record(EventKind::Started, 0, "");
        }
    }

    fn finish_job(&mut self) {
        let counts = &self.job.counts;
        if !self.job.is_running() || counts.live_pages() > 0 {
            return;
        }
        let policy = self.job.meta.spec.failure_policy;
        let failed = counts.split_failed > 0 || policy.exceeded(counts.failed, counts.known);
        let phase = match failed {
            true => Phase::Failed,
            false => Phase::Completed,
        };
        self.end(phase, Cause::Finish);
    }

    fn settle(&mut self) {
        let counts = &self.job.counts;
        let still = counts.in_flight() == 0 && counts.splitting == 0;
        if self.job.phase.is_final() && self.job.settled.is_none() && still {
            self.changed = true;
            self.job.settled = Some(self.moment.now);
            self.set_expiry();
            if !self.ended_now() {
                self.record(EventKind::Settled, self.job.counts.done, "");
            }
        }
    }
}
