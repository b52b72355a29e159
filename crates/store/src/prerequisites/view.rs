//! A prerequisite, and where it stands.

use headway_domain::{JobId, prerequisites::OnPrerequisiteFailure};

use crate::ground::codes::codes;

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

codes!(PrerequisiteState, "state {code} of a prerequisite is unknown", {
    Open = 0,
    Met = 1,
    Broken = 2,
});

/// A prerequisite of a job, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrerequisiteView {
    /// The id of the job that is needed.
    pub job: JobId,
    /// See [`headway_domain::prerequisites::Prerequisite::optional`].
    pub optional: bool,
    /// Where it stands.
    pub state: PrerequisiteState,
}

codes!(OnPrerequisiteFailure, "policy {code} of a prerequisite is unknown", {
    Fail = 0,
    RunAnyway = 1,
    Wait = 2,
});
