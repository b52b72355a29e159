//! A job's spec, from and to the wire.

pub(crate) mod json;
mod read;
pub(crate) mod retention;
pub(crate) mod waiting;
mod write;

pub(crate) use read::{Splitters, count, failure_policy, priority, spec_of};
pub(crate) use write::{requested, stored, summary};
