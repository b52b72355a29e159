//! Creating jobs.

pub(crate) mod group;
pub(crate) mod insert;
pub(crate) mod key;
pub(crate) mod lanes;
pub(crate) mod new_job;
