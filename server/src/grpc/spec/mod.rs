//! A job's spec, from and to the wire.

pub(crate) mod json;
mod policies;
mod read;
pub(crate) mod retention;
pub(crate) mod waiting;
mod work;
mod write;

pub(crate) use policies::failure_policy;
pub(crate) use read::{count, priority, spec_of};
pub(crate) use work::Splitters;
pub(crate) use write::{requested, stored, summary};
