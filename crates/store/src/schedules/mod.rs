//! Schedules, and the jobs that they make.

pub(crate) mod edit;
pub(crate) mod fire;
pub(crate) mod jobs;
pub(crate) mod look;
pub(crate) mod read;
pub(crate) mod row;
pub(crate) mod view;
