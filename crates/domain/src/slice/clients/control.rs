//! Control actions of clients: pause, resume, cancel. Each changes only the job's row. Pages and
//! items follow in `advance` and with the reports.

use crate::{
    error::{Action, Error},
    events::event::EventKind,
    jobs::{
        lifecycle::{Cause, allows},
        state::{JobState, Phase},
    },
    slice::{
        effect::{Disposition, Effect},
        job_slice::JobSlice,
    },
};

impl JobSlice {
    /// Pauses the job. Pausing a paused job changes nothing.
    pub fn pause(&mut self) -> Result<(), Error> {
        if self.job.phase.is_final() {
            return Err(self.illegal(Action::Pause));
        }
        if !self.job.paused {
            let from = self.job.state();
            self.job.paused = true;
            self.check_transition(from, Cause::Pause);
            self.control(Disposition::Park);
            self.record(EventKind::Paused, 0, "");
        }
        Ok(())
    }

    /// Resumes the job. Resuming a running job changes nothing.
    pub fn resume(&mut self) -> Result<(), Error> {
        if self.job.phase.is_final() {
            return Err(self.illegal(Action::Resume));
        }
        if self.job.paused {
            self.job.paused = false;
            self.reset_allowance();
            self.check_transition(JobState::Paused, Cause::Resume);
            self.control(self.disposition());
            self.record(EventKind::Resumed, 0, "");
        }
        Ok(())
    }

    /// Suspends the job together with its partition. A bulk job goes on, so that suspended jobs can
    /// still be cancelled in bulk.
    pub fn suspend(&mut self) {
        let changes_others = self.job.meta.spec.is_bulk();
        if !self.job.suspended && !self.job.phase.is_final() && !changes_others {
            self.job.suspended = true;
            self.control(Disposition::Park);
        }
    }

    /// Resumes the job together with its partition.
    pub fn unsuspend(&mut self) {
        if self.job.suspended {
            self.job.suspended = false;
            self.reset_allowance();
            self.control(self.disposition());
        }
    }

    /// What workers do with items of a job that has not ended.
    fn disposition(&self) -> Disposition {
        match self.job.parks_items() {
            true => Disposition::Park,
            false => Disposition::Run,
        }
    }

    /// Cancels the job. Cancelling a cancelled job changes nothing.
    pub fn cancel(&mut self) -> Result<(), Error> {
        match self.job.phase {
            Phase::Cancelled => Ok(()),
            Phase::Completed | Phase::Failed => Err(self.illegal(Action::Cancel)),
            Phase::Waiting | Phase::Active => {
                self.end(Phase::Cancelled, Cause::Cancel);
                self.control(Disposition::Discard);
                Ok(())
            }
        }
    }

    /// Moves the job to a final phase.
    pub(crate) fn end(&mut self, phase: Phase, cause: Cause) {
        self.enter_final(phase, cause);
        self.record_end(None);
    }

    /// Ends the job as failed because more items failed than its policy tolerates.
    pub(crate) fn stop(&mut self) {
        self.enter_final(Phase::Failed, Cause::Stop);
        let failed = self.job.counts.failed;
        let why = format!("stopped: {failed} failed, which is more than is tolerated");
        self.record_end(Some(&why));
    }

    /// Ends the job as failed for a reason that the counters do not show.
    pub(crate) fn fail(&mut self, cause: Cause, why: &str) {
        self.enter_final(Phase::Failed, cause);
        self.record_end(Some(why));
    }

    fn enter_final(&mut self, phase: Phase, cause: Cause) {
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
        self.check_transition(from, cause);
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

    pub(crate) fn illegal(&self, action: Action) -> Error {
        Error::IllegalTransition {
            job: self.job.meta.name.clone(),
            action,
            state: self.job.state(),
            settled: self.job.settled.is_some(),
        }
    }

    /// Checks a change of state against the table of transitions.
    pub(crate) fn check_transition(&self, from: JobState, cause: Cause) {
        let to = self.job.state();
        debug_assert!(
            allows(from, to, cause),
            "{} went from {from} to {to} by {cause:?}",
            self.job.meta.name
        );
    }
}
