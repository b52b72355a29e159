//! The SDK over pipes in memory, against a tiny tracking side that only listens.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

mod broker;
mod harness;

mod control;
mod delivery;
mod handlers;
mod leases;
mod shutdown;
