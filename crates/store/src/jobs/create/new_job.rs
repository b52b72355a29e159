//! A job to accept, and one that was accepted.

use headway_domain::{JobName, Micros, jobs::JobSpec};

use crate::{ground::committed::Committed, jobs::view::JobView};

/// A job to accept; its spec is valid.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its name.
    pub name: JobName,
    /// What to do.
    pub spec: JobSpec,
    /// Makes a repeated request harmless; empty for none.
    pub request_id: String,
    /// Who creates it.
    pub creator: String,
    /// What the caller calls its request.
    pub correlation: String,
    /// The time of creation that [`crate::Store::creation_times`] gave it; none for the next one.
    pub created: Option<Micros>,
}

/// An accepted job.
#[derive(Debug, Clone)]
pub struct Created {
    /// The job as it is now.
    pub view: JobView,
    /// Whether it existed before, with the same spec.
    pub existed: bool,
    /// What is to be published now.
    pub committed: Committed,
}
