//! Pipes.

pub(crate) mod credit;
pub(crate) mod used;
