//! A prerequisite, and where it stands.

use headway_domain::{
    JobId,
    start::{Broken, OnPrerequisiteFailure},
};

/// Where a prerequisite stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrerequisiteState {
    /// It is waited for.
    Open,
    /// It is complete, or counts as complete.
    Met,
    /// It will not be complete, and the job failed because of it.
    Broken,
}

impl PrerequisiteState {
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Open => 0,
            Self::Met => 1,
            Self::Broken => 2,
        }
    }

    pub(crate) fn of(code: i64) -> Self {
        match code {
            0 => Self::Open,
            1 => Self::Met,
            _ => Self::Broken,
        }
    }
}

/// A prerequisite of a job, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrerequisiteView {
    /// The id of the job that is needed.
    pub job: JobId,
    /// See [`headway_domain::start::Prerequisite::optional`].
    pub optional: bool,
    /// Where it stands.
    pub state: PrerequisiteState,
}

pub(crate) fn policy_code(policy: OnPrerequisiteFailure) -> i64 {
    match policy {
        OnPrerequisiteFailure::Fail => 0,
        OnPrerequisiteFailure::RunAnyway => 1,
        OnPrerequisiteFailure::Wait => 2,
    }
}
