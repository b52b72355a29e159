//! Prerequisites, start time and deadline of the job.

use super::{effect::Disposition, job_slice::JobSlice};
use crate::{
    jobs::{lifecycle::Cause, state::Phase, timing::Deadline},
    prerequisites::BrokenPrerequisite,
    reports::failure::{Failed, code},
};

impl JobSlice {
    /// Sets the start time and the deadline of a new job.
    pub(crate) fn set_times(&mut self) {
        let now = self.moment.now;
        self.job.schedule(now);
        if let Deadline::At(time) = self.job.meta.spec.deadline {
            // Stores keep 0 for none.
            self.job.deadline = Some(time.max(1));
        }
    }

    /// Lets the job wait for this many prerequisites before it starts, or starts again.
    pub fn wait_for(&mut self, prerequisites: u32) {
        if prerequisites == 0 || self.job.phase.is_final() {
            return;
        }
        self.changed = true;
        self.job.phase = Phase::Waiting;
        self.job.waits = prerequisites;
        self.job.start_due = None;
        if let Deadline::Within(_) = self.job.meta.spec.deadline {
            // It counts from the start.
            self.job.deadline = None;
        }
    }

    /// Records that this many prerequisites are complete.
    pub fn prerequisites_met(&mut self, count: u32) {
        if count == 0 || self.job.waits == 0 {
            return;
        }
        self.changed = true;
        self.job.waits = self.job.waits.saturating_sub(count);
        if self.job.waits == 0 {
            let now = self.moment.now;
            self.job.schedule(now);
            self.reset_allowance();
        }
    }

    /// Fails the job because a prerequisite will not be complete.
    pub fn prerequisite_broken(&mut self, broken: &BrokenPrerequisite) {
        if self.job.waits == 0 || self.job.phase.is_final() {
            return;
        }
        let failure = broken.failure();
        let message = failure.message.clone();
        self.record_job_failure(failure);
        self.fail(Cause::PrerequisiteFailed, &message);
    }

    /// Starts the job if its time has come.
    pub fn fire_start(&mut self) {
        if self.job.start_due.is_some_and(|due| due <= self.moment.now) {
            self.changed = true;
            self.job.start_due = None;
            self.reset_allowance();
        }
    }

    /// Ends the job if its deadline has passed.
    pub fn fire_deadline(&mut self) {
        let passed = self
            .job
            .deadline
            .is_some_and(|deadline| deadline <= self.moment.now);
        if !passed || self.job.phase.is_final() {
            return;
        }
        let open = self.job.counts.open_items();
        let message = format!("the job had not ended by its deadline; {open} items were open");
        self.record_job_failure(Failed::lasting(code::DEADLINE_EXCEEDED, &message));
        self.fail(Cause::DeadlineExceeded, &message);
        self.control(Disposition::Discard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        jobs::{spec::JobSpec, state::JobState, timing::Start},
        pipes::share::Share,
        slice::testing::{self, SECOND},
        values::ids::JobId,
    };

    fn job(change: impl FnOnce(&mut JobSpec)) -> JobSlice {
        testing::job(10 * SECOND, change)
    }

    fn broken() -> BrokenPrerequisite {
        BrokenPrerequisite {
            job: JobId::new("b").unwrap(),
            how: "failed".into(),
            root: "a".into(),
            cause: "POISON: x".into(),
        }
    }

    /// A job that failed because of a prerequisite.
    fn failed(change: impl FnOnce(&mut JobSpec)) -> JobSlice {
        let mut slice = job(change);
        slice.wait_for(1);
        slice.prerequisite_broken(&broken());
        slice.advance();
        slice
    }

    #[test]
    fn it_starts_when_the_last_prerequisite_is_complete() {
        let mut slice = job(|_| {});
        slice.wait_for(3);
        slice.prerequisites_met(2);
        slice.advance();
        assert_eq!((slice.job.state(), slice.job.waits), (JobState::Waiting, 1));
        slice.prerequisites_met(1);
        slice.advance();
        assert_eq!(slice.job.state(), JobState::Active);
        assert_eq!(slice.job.counts.in_flight(), 1);
    }

    #[test]
    fn a_delay_counts_from_when_nothing_else_is_waited_for() {
        let mut slice = job(|spec| spec.start = Start::After(5000));
        assert_eq!(slice.job.start_due, Some(15 * SECOND));
        slice.wait_for(1);
        assert_eq!(slice.job.start_due, None);
        slice.moment.now = 100 * SECOND;
        slice.prerequisites_met(1);
        assert_eq!(slice.job.start_due, Some(105 * SECOND));
        slice.fire_start();
        assert!(slice.job.waits_to_start(), "not before its time");
        slice.moment.now = 105 * SECOND;
        slice.fire_start();
        slice.advance();
        assert_eq!(slice.job.state(), JobState::Active);
    }

    #[test]
    fn a_time_that_has_passed_is_at_once() {
        let mut slice = job(|spec| spec.start = Start::At(SECOND));
        slice.advance();
        assert_eq!(slice.job.state(), JobState::Active);
    }

    #[test]
    fn a_broken_prerequisite_fails_the_job_once() {
        let mut slice = job(|_| {});
        slice.wait_for(2);
        slice.prerequisite_broken(&broken());
        slice.prerequisite_broken(&broken());
        slice.prerequisites_met(1);
        slice.advance();
        assert_eq!(slice.job.state(), JobState::Failed);
        assert!(slice.job.settled.is_some() && slice.job.waits == 0);
        assert_eq!(slice.failures.len(), 1);
        let failure = &slice.failures[0].failure;
        assert_eq!(failure.code, code::PREREQUISITE_FAILED);
        assert_eq!(
            failure.message,
            "prerequisite b failed because of job a (POISON: x)"
        );
        slice.retry().unwrap();
        slice.wait_for(1);
        slice.advance();
        assert_eq!((slice.job.state(), slice.job.run), (JobState::Waiting, 1));
        slice.prerequisites_met(1);
        slice.advance();
        assert_eq!(slice.job.state(), JobState::Active);
    }

    #[test]
    fn what_has_ended_gets_no_share() {
        let mut slice = failed(|_| {});
        let before = slice.job.clone();
        slice.set_share(Share::of(7));
        assert_eq!(slice.job, before);
        slice.retry().unwrap();
        slice.set_share(Share::of(7));
        assert_eq!(slice.job.allowance, 7);
    }

    #[test]
    fn a_deadline_of_a_run_begins_with_it() {
        let mut slice = job(|spec| spec.deadline = Deadline::Within(2000));
        slice.wait_for(1);
        slice.moment.now = 50 * SECOND;
        slice.fire_deadline();
        assert_eq!(slice.job.state(), JobState::Waiting);
        slice.prerequisites_met(1);
        slice.advance();
        assert_eq!(slice.job.deadline, Some(52 * SECOND));
        slice.moment.now = 52 * SECOND;
        slice.fire_deadline();
        slice.advance();
        assert_eq!(slice.job.state(), JobState::Failed);
        assert_eq!(slice.job.deadline, None);
        assert_eq!(slice.failures[0].failure.code, code::DEADLINE_EXCEEDED);
        assert!(slice.job.settled.is_none(), "its item is still out");
    }

    #[test]
    fn a_retry_that_waits_has_its_whole_time_once_it_runs() {
        let mut slice = failed(|spec| spec.deadline = Deadline::Within(2000));
        slice.retry().unwrap();
        slice.wait_for(1);
        slice.advance();
        slice.moment.now = 50 * SECOND;
        slice.fire_deadline();
        assert_eq!(slice.job.state(), JobState::Waiting);
        slice.prerequisites_met(1);
        slice.advance();
        assert_eq!(slice.job.deadline, Some(52 * SECOND));
    }

    #[test]
    fn a_retry_is_held_to_a_time_that_is_to_come() {
        for (retried, deadline) in [(11, Some(12 * SECOND)), (12, None), (13, None)] {
            let mut slice = failed(|spec| spec.deadline = Deadline::At(12 * SECOND));
            slice.moment.now = retried * SECOND;
            slice.retry().unwrap();
            slice.wait_for(1);
            assert_eq!(slice.job.deadline, deadline);
            slice.prerequisites_met(1);
            slice.fire_deadline();
            slice.advance();
            assert_eq!(slice.job.state(), JobState::Active);
            assert_eq!(slice.job.deadline, deadline);
        }
    }

    #[test]
    fn a_deadline_at_a_time_does_not_wait_for_the_start() {
        let mut slice = job(|spec| spec.deadline = Deadline::At(12 * SECOND));
        slice.wait_for(1);
        slice.pause().unwrap();
        slice.moment.now = 12 * SECOND;
        slice.fire_deadline();
        assert_eq!(slice.job.state(), JobState::Failed);
    }
}
