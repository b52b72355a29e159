//! The slice of a job that a transaction holds: its rows, loaded, advanced and written back. The
//! only writer of the rows of jobs.

pub(crate) mod advance;
pub(crate) mod batch;
pub(crate) mod failure;
pub(crate) mod failures;
pub(crate) mod item;
pub(crate) mod job;
pub(crate) mod load;
pub(crate) mod metas;
pub(crate) mod page;
pub(crate) mod progress;
pub(crate) mod remove;
pub(crate) mod sample;
pub(crate) mod spec;
pub(crate) mod touch;
pub(crate) mod write;
