//! The states of a job.

use std::fmt;

/// What clients see of a job's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Accepted; nothing of it was released yet.
    Waiting,
    /// Being split and worked on.
    Active,
    /// Held by a client.
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

/// Where a job is in its life, apart from being paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing of it was released yet.
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
    /// Whether only RetryJob leads out of it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}
