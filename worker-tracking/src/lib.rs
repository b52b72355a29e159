//! The tracking worker: applies what workers report, advances jobs, fires timers, shares out the credit of
//! pipes, and repairs what was lost.
//!
//! [`Tracker`] claims logical shards and runs a [`shard`] loop for each. [`janitor`] does what is nobody's
//! shard: overdue outbox rows, idle jobs, deleted jobs. [`repair`] watches the broker for lost messages.

mod apply;
mod credit;
mod dead;
mod janitor;
mod rates;
mod repair;
mod shard;
mod tracker;

pub use tracker::{Tracker, TrackerConfig};
