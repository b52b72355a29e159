//! The server over TCP, with a real store on SQLite and pipes in process. Tests play workers and
//! tracking by hand.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

#[macro_use]
mod harness;

mod audit;
mod batches;
mod control;
mod doors;
mod events;
mod gateway;
mod inputs;
mod jobs;
mod pages;
mod pipes;
mod rehearsals;
mod schedules;
mod serving;
mod watches;
