//! The lifecycle of a job: one table of all transitions. Every change of state is checked against
//! it, and the diagram in docs/API.md is made from it.

use super::state::JobState;

/// What moves a job from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// PauseJob.
    Pause,
    /// ResumeJob.
    Resume,
    /// CancelJob.
    Cancel,
    /// RetryJob, or the retry of a prerequisite with its dependents.
    Retry,
    /// The first work is released.
    Start,
    /// No work is left; the failure policy decides the state.
    Finish,
    /// More items failed than the failure policy tolerates, and it stops the job.
    Stop,
    /// A prerequisite will not be complete.
    PrerequisiteFailed,
    /// The deadline has passed.
    DeadlineExceeded,
}

impl Cause {
    /// What the cause is called in the guide.
    pub fn title(self) -> &'static str {
        match self {
            Self::Pause => "PauseJob",
            Self::Resume => "ResumeJob",
            Self::Cancel => "CancelJob",
            Self::Retry => "RetryJob",
            Self::Start => "first work released",
            Self::Finish => "nothing left",
            Self::Stop => "failure policy stops it",
            Self::PrerequisiteFailed => "prerequisite failed",
            Self::DeadlineExceeded => "deadline",
        }
    }

    /// Whether a client causes it, and not Headway by itself.
    pub fn is_of_client(self) -> bool {
        matches!(
            self,
            Self::Pause | Self::Resume | Self::Cancel | Self::Retry
        )
    }
}

/// All transitions. A call that finds the job in its target state changes nothing; all other calls
/// are refused.
pub const TRANSITIONS: [(JobState, JobState, Cause); 21] = [
    (JobState::Waiting, JobState::Active, Cause::Start),
    (JobState::Waiting, JobState::Paused, Cause::Pause),
    (JobState::Active, JobState::Paused, Cause::Pause),
    (JobState::Paused, JobState::Waiting, Cause::Resume),
    (JobState::Paused, JobState::Active, Cause::Resume),
    (JobState::Active, JobState::Completed, Cause::Finish),
    (JobState::Active, JobState::Failed, Cause::Finish),
    (JobState::Active, JobState::Failed, Cause::Stop),
    (JobState::Paused, JobState::Failed, Cause::Stop),
    (
        JobState::Waiting,
        JobState::Failed,
        Cause::PrerequisiteFailed,
    ),
    (
        JobState::Paused,
        JobState::Failed,
        Cause::PrerequisiteFailed,
    ),
    (JobState::Waiting, JobState::Failed, Cause::DeadlineExceeded),
    (JobState::Active, JobState::Failed, Cause::DeadlineExceeded),
    (JobState::Paused, JobState::Failed, Cause::DeadlineExceeded),
    (JobState::Waiting, JobState::Cancelled, Cause::Cancel),
    (JobState::Active, JobState::Cancelled, Cause::Cancel),
    (JobState::Paused, JobState::Cancelled, Cause::Cancel),
    (JobState::Failed, JobState::Active, Cause::Retry),
    (JobState::Failed, JobState::Waiting, Cause::Retry),
    (JobState::Cancelled, JobState::Active, Cause::Retry),
    (JobState::Cancelled, JobState::Waiting, Cause::Retry),
];

/// Whether the table has this transition.
pub fn allows(from: JobState, to: JobState, cause: Cause) -> bool {
    TRANSITIONS.contains(&(from, to, cause))
}

/// The table as a Mermaid state diagram. Transitions between the same states share an arrow.
pub fn diagram() -> String {
    let mut text = String::from("stateDiagram-v2\n    [*] --> WAITING: CreateJob\n");
    let mut drawn = Vec::new();
    for (from, to, _) in TRANSITIONS {
        if drawn.contains(&(from, to)) {
            continue;
        }
        drawn.push((from, to));
        let same = TRANSITIONS
            .iter()
            .filter(|way| (way.0, way.1) == (from, to));
        let causes: Vec<_> = same.map(|way| way.2.title()).collect();
        text.push_str(&format!("    {from} --> {to}: {}\n", causes.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const STATES: [JobState; 6] = [
        JobState::Waiting,
        JobState::Active,
        JobState::Paused,
        JobState::Completed,
        JobState::Failed,
        JobState::Cancelled,
    ];

    #[test]
    fn the_guide_draws_the_table() {
        let guide = include_str!("../../../../docs/API.md");
        let drawing = format!("```mermaid\n{}```", diagram());
        assert!(
            guide.contains(&drawing),
            "docs/API.md does not have\n{drawing}"
        );
    }

    #[test]
    fn no_way_is_there_twice_or_leads_nowhere() {
        let ways: BTreeSet<String> = TRANSITIONS.iter().map(|way| format!("{way:?}")).collect();
        assert_eq!(ways.len(), TRANSITIONS.len());
        assert!(TRANSITIONS.iter().all(|(from, to, _)| from != to));
    }

    #[test]
    fn a_final_state_is_left_by_a_retry_alone() {
        for (from, _, cause) in TRANSITIONS {
            assert_ne!(from, JobState::Completed);
            let over = matches!(from, JobState::Failed | JobState::Cancelled);
            assert_eq!(over, cause == Cause::Retry);
        }
    }

    #[test]
    fn every_state_can_be_reached_and_ended() {
        for state in STATES {
            let reached = TRANSITIONS.iter().any(|(_, to, _)| *to == state);
            assert!(reached, "{state}");
            let over = matches!(
                state,
                JobState::Completed | JobState::Failed | JobState::Cancelled
            );
            let ends = allows(state, JobState::Cancelled, Cause::Cancel);
            assert_ne!(over, ends, "{state}");
        }
    }
}
