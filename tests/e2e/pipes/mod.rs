//! Pipes: what they do to their jobs, their limits, dead letters, and who goes first.

mod bounds;
pub(crate) mod dead_letters;
pub(crate) mod limits;
mod messages;
pub(crate) mod order;
mod priorities;
