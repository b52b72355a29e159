//! The tables of a job, one file each: columns, and rows from and to the domain.

pub(crate) mod batch;
pub(crate) mod failure;
pub(crate) mod item;
pub(crate) mod job;
pub(crate) mod page;
pub(crate) mod progress;
pub(crate) mod sample;
