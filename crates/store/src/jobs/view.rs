//! A job as it is read.

use headway_domain::Job;
use sea_orm::FromQueryResult;

use crate::{ground::committed::Committed, prerequisites::view::PrerequisiteView};

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

/// A recorded failure.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct FailureRow {
    /// Rises by one with each failure of a run, from 1.
    pub seq: i64,
    /// The run.
    pub run: i64,
    /// The page.
    pub page: i64,
    /// The item's index, -1 when the page could not be split, -2 when the job as a whole failed.
    pub idx: i64,
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// More.
    pub details: String,
    /// The attempt that failed, from 1.
    pub attempt: i64,
    /// When it was recorded, in microseconds.
    pub recorded: i64,
    /// Who reported it.
    pub worker: String,
}

/// A job after a control action.
#[derive(Debug, Clone)]
pub struct Controlled {
    /// The job as it is now.
    pub view: JobView,
    /// What is to be published now.
    pub committed: Committed,
}
