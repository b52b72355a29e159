//! Pipes.

pub mod credit;
pub mod used;
