//! What a schedule does at a time while jobs of earlier times have not ended.

use crate::jobs::state::JobState;

/// What a schedule does when a time comes while the job of an earlier one has not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It skips the time.
    #[default]
    Skip,
    /// The new job waits until the one before has ended.
    Queue,
    /// It cancels the jobs before.
    CancelPrevious,
    /// The new job runs beside the others: each time has its job.
    Allow,
}

/// What a schedule does at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlapAction {
    /// It creates the job.
    Create,
    /// It creates the job, which waits for the open ones.
    CreateAfterOpen,
    /// It cancels the open jobs, then creates the job.
    CancelOpen,
    /// It creates no job.
    Skip,
}

impl Overlap {
    /// What the schedule does at a time, given the states of its open jobs.
    pub fn action(self, open: &[JobState]) -> OverlapAction {
        if open.is_empty() {
            return OverlapAction::Create;
        }
        match self {
            Self::Allow => OverlapAction::Create,
            Self::CancelPrevious => OverlapAction::CancelOpen,
            // One job that waits is enough.
            Self::Queue if !open.contains(&JobState::Waiting) => OverlapAction::CreateAfterOpen,
            Self::Queue | Self::Skip => OverlapAction::Skip,
        }
    }
}

/// Whether a job has not ended, so that it overlaps with the next one of its schedule.
pub fn is_open(state: JobState) -> bool {
    matches!(
        state,
        JobState::Waiting | JobState::Active | JobState::Paused
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_open_jobs_every_schedule_creates_one() {
        for overlap in [
            Overlap::Skip,
            Overlap::Queue,
            Overlap::CancelPrevious,
            Overlap::Allow,
        ] {
            assert_eq!(overlap.action(&[]), OverlapAction::Create);
        }
    }

    #[test]
    fn open_jobs_are_awaited_cancelled_or_left_alone() {
        let active = [JobState::Active];
        let waiting = [JobState::Active, JobState::Waiting];
        assert_eq!(Overlap::Skip.action(&active), OverlapAction::Skip);
        assert_eq!(
            Overlap::Queue.action(&active),
            OverlapAction::CreateAfterOpen
        );
        assert_eq!(Overlap::Queue.action(&waiting), OverlapAction::Skip);
        assert_eq!(
            Overlap::CancelPrevious.action(&waiting),
            OverlapAction::CancelOpen
        );
        assert_eq!(Overlap::Allow.action(&waiting), OverlapAction::Create);
    }
}
