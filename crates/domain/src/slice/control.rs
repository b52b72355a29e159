//! What clients do to a job: pause, resume, cancel, retry. Each changes only the job's row; what
//! is below it follows in `advance` and as reports come in.

use crate::{
    effect::{Disposition, Effect},
    error::{Action, Error},
    event::EventKind,
    job::{JobState, Phase},
    lifecycle::Cause,
    slice::{Carried, JobSlice},
};

impl JobSlice {
    /// Holds the job. Pausing a paused job changes nothing.
    pub fn pause(&mut self) -> Result<(), Error> {
        if self.job.phase.is_final() {
            return Err(self.refuse(Action::Pause));
        }
        if !self.job.paused {
            let from = self.job.state();
            self.job.paused = true;
            self.moved(from, Cause::Pause);
            self.control(Disposition::Park);
            self.record(EventKind::Paused, 0, "");
        }
        Ok(())
    }

    /// Lets a paused job go on. Resuming a job that runs changes nothing.
    pub fn resume(&mut self) -> Result<(), Error> {
        if self.job.phase.is_final() {
            return Err(self.refuse(Action::Resume));
        }
        if self.job.paused {
            self.job.paused = false;
            self.ration();
            self.moved(JobState::Paused, Cause::Resume);
            self.control(self.disposition());
            self.record(EventKind::Resumed, 0, "");
        }
        Ok(())
    }

    /// Holds the job for as long as its partition is suspended, whatever else is done to it. A job that changes others goes on: what
    /// is suspended can still be cancelled, by many too.
    pub fn suspend(&mut self) {
        let changes_others = self.job.meta.spec.is_of_jobs();
        if !self.job.suspended && !self.job.phase.is_final() && !changes_others {
            self.job.suspended = true;
            self.control(Disposition::Park);
        }
    }

    /// Lets the job go on when its partition does.
    pub fn unsuspend(&mut self) {
        if self.job.suspended {
            self.job.suspended = false;
            self.ration();
            self.control(self.disposition());
        }
    }

    /// What workers do with items of a job that has not ended.
    fn disposition(&self) -> Disposition {
        match self.job.sets_aside() {
            true => Disposition::Park,
            false => Disposition::Run,
        }
    }

    /// Ends the job. Cancelling a cancelled job changes nothing.
    pub fn cancel(&mut self) -> Result<(), Error> {
        match self.job.phase {
            Phase::Cancelled => Ok(()),
            Phase::Completed | Phase::Failed => Err(self.refuse(Action::Cancel)),
            Phase::Waiting | Phase::Active => {
                self.end(Phase::Cancelled, Cause::Cancel);
                self.control(Disposition::Discard);
                Ok(())
            }
        }
    }

    /// Runs again what failed or was discarded. Only the job's row changes: every page of the
    /// older run counts as one to open again.
    pub fn retry(&mut self) -> Result<(), Error> {
        self.retry_but(Carried::default())
    }

    /// As [`JobSlice::retry`], but so many of the failures are not run again and count in the new run. Their rows
    /// must be there under the new run too, numbered from 1.
    pub fn retry_but(&mut self, carried: Carried) -> Result<(), Error> {
        let settled = self.job.settled.is_some();
        if !settled || !matches!(self.job.phase, Phase::Failed | Phase::Cancelled) {
            return Err(self.refuse(Action::Retry));
        }
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
        // Pages of a run before the last one may still wait for theirs.
        counts.reopen += counts.open + counts.retained + counts.split_failed;
        counts.open = 0;
        counts.retained = 0;
        counts.split_failed = 0;
        self.ration();
        self.moved(from, Cause::Retry);
        self.control(Disposition::Run);
        self.record(EventKind::Retried, 0, "");
        Ok(())
    }

    /// Moves the job to a final phase.
    pub(crate) fn end(&mut self, phase: Phase, cause: Cause) {
        self.leave_for(phase, cause);
        self.record_end(None);
    }

    /// Ends the job as failed because more failed than is tolerated.
    pub(crate) fn stop(&mut self) {
        self.leave_for(Phase::Failed, Cause::Stop);
        let failed = self.job.counts.failed;
        let why = format!("stopped: {failed} failed, which is more than is tolerated");
        self.record_end(Some(&why));
    }

    /// Ends the job as failed for a reason that the counts do not tell.
    pub(crate) fn fail(&mut self, cause: Cause, why: &str) {
        self.leave_for(Phase::Failed, cause);
        self.record_end(Some(why));
    }

    fn leave_for(&mut self, phase: Phase, cause: Cause) {
        self.record_failures();
        self.changed = true;
        let from = self.job.state();
        let job = &mut self.job;
        job.phase = phase;
        job.paused = false;
        job.suspended = false;
        job.waits = 0;
        job.start_due = None;
        job.deadline = None;
        job.ended = Some(self.moment.now);
        self.moved(from, cause);
    }

    /// Raises the control counter and tells every worker.
    pub(crate) fn control(&mut self, disposition: Disposition) {
        self.changed = true;
        self.job.control += 1;
        self.effects.push(Effect::Control {
            control: self.job.control,
            disposition,
        });
    }

    pub(crate) fn refuse(&self, action: Action) -> Error {
        Error::IllegalTransition {
            job: self.job.meta.name.clone(),
            action,
            state: self.job.state(),
            settled: self.job.settled.is_some(),
        }
    }
}
