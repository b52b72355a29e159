//! The slice of a job that a transaction holds: its rows, loaded, advanced and written back. The
//! only writer of the rows of jobs.

pub(crate) mod advance;
pub(crate) mod failures;
pub(crate) mod load;
pub(crate) mod metas;
pub(crate) mod remove;
pub(crate) mod rows;
pub(crate) mod spec;
pub(crate) mod touch;
pub(crate) mod write;
