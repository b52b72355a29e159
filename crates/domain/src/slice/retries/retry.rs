//! A retry of a job that has ended.

use crate::{
    error::{Action, Error},
    events::event::EventKind,
    jobs::{lifecycle::Cause, state::Phase},
    retries::carried::CarriedCounts,
    slice::{effect::Disposition, job_slice::JobSlice},
};

impl JobSlice {
    /// Whether the job may be retried as a whole now.
    ///
    /// # Errors
    /// [`Error::IllegalTransition`] unless it failed or was cancelled, and nothing of it runs any
    /// more.
    pub fn check_retry(&self) -> Result<(), Error> {
        let settled = self.job.settled.is_some();
        if !settled || !matches!(self.job.phase, Phase::Failed | Phase::Cancelled) {
            return Err(self.illegal(Action::Retry));
        }
        Ok(())
    }

    /// Runs failed and discarded items again. Only the job's row changes: every page of the older
    /// run counts as one to open again.
    pub fn retry(&mut self) -> Result<(), Error> {
        self.retry_carrying(CarriedCounts::default())
    }

    /// As [`JobSlice::retry`], but carries some failures over instead of running them again. The
    /// store must repeat their rows under the new run, numbered from 1.
    pub fn retry_carrying(&mut self, carried: CarriedCounts) -> Result<(), Error> {
        self.check_retry()?;
        let now = self.moment.now;
        let from = self.job.state();
        let job = &mut self.job;
        job.run += 1;
        job.phase = Phase::Active;
        job.renew_deadline(now);
        job.ended = None;
        job.settled = None;
        job.expires = None;
        job.carried = carried.items + carried.splits;
        let counts = &mut job.counts;
        counts.failed = carried.items;
        counts.discarded = 0;
        counts.failures = job.carried;
        counts.redriven = 0;
        counts.parked = 0;
        counts.delayed = 0;
        counts.fractions = 0;
        let ended = counts.done.checked_add(counts.failed);
        let left = ended.and_then(|ended| counts.known.checked_sub(ended));
        counts.unreleased = left.unwrap_or(0);
        self.miscounted |= left.is_none();
        // Pages of a run before the last one may still wait to be opened again.
        counts.reopen += counts.open + counts.retained + counts.split_failed;
        counts.open = 0;
        counts.retained = 0;
        counts.split_failed = 0;
        self.reset_allowance();
        self.check_transition(from, Cause::Retry);
        self.control(Disposition::Run);
        self.record(EventKind::Retried, 0, "");
        Ok(())
    }

    /// As [`JobSlice::retry_carrying`], for a job that is only shown and not stored. The total is
    /// not final if a batch is to be split again, because its items are unknown.
    ///
    /// # Errors
    /// See [`JobSlice::check_retry`].
    pub fn rehearse_retry(&mut self, carried: CarriedCounts) -> Result<(), Error> {
        let unsplit = self.job.counts.split_failed.saturating_sub(carried.splits);
        self.retry_carrying(carried)?;
        self.job.counts.undeclared_unsplit += unsplit;
        Ok(())
    }
}
