//! The states of a job.

use std::fmt;

/// The state of a job, as clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Accepted; none of its work was released yet.
    Waiting,
    /// Being split and worked on.
    Active,
    /// Paused by a client.
    Paused,
    /// Ended within its failure policy.
    Completed,
    /// Ended outside its failure policy.
    Failed,
    /// Ended by a client.
    Cancelled,
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "WAITING",
            Self::Active => "ACTIVE",
            Self::Paused => "PAUSED",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        })
    }
}

/// The state of a job, leaving aside whether it is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// None of its work was released yet.
    Waiting,
    /// Being worked on.
    Active,
    /// Ended within its failure policy.
    Completed,
    /// Ended outside its failure policy, or stopped by it.
    Failed,
    /// Ended by a client.
    Cancelled,
}

impl Phase {
    /// Whether the job has ended. Only RetryJob leaves such a phase.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}
