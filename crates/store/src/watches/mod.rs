//! What watches of jobs and partitions read.

pub(crate) mod partitions;
pub(crate) mod states;
