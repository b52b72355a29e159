//! The SDK over pipes in memory, against a tiny tracking side that only listens.

mod broker;
mod harness;

mod control;
mod delivery;
mod handlers;
mod leases;
mod shutdown;
