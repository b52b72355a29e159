//! A job as it is read.

use headway_domain::Job;

use crate::{
    ground::committed::Committed, prerequisites::view::PrerequisiteView,
    slice::rows::failure::FailureRow,
};

/// A job as it was at one commit.
#[derive(Debug, Clone)]
pub struct JobView {
    /// The job; its spec has no body.
    pub job: Job,
    /// The payload or definition, where it was asked for.
    pub body: Option<Vec<u8>>,
    /// Its newest failures, where they were asked for.
    pub failures: Vec<FailureRow>,
    /// What it waits or waited for, by id, where that was asked for.
    pub prerequisites: Vec<PrerequisiteView>,
}

impl JobView {
    pub(crate) fn new(job: Job) -> Self {
        Self {
            job,
            body: None,
            failures: Vec::new(),
            prerequisites: Vec::new(),
        }
    }
}

/// A job after a control action.
#[derive(Debug, Clone)]
pub struct Controlled {
    /// The job as it is now.
    pub view: JobView,
    /// What is to be published now.
    pub committed: Committed,
}
