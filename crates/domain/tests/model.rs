//! The rules of Headway against a world that loses, repeats, delays and reorders messages, crashes
//! between commit and publish, and changes its mind: random schedules, with every invariant
//! checked after every transaction, and a few schedules written by hand that read as documentation.
//!
//! `PROPTEST_CASES` sets the number of random schedules.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

mod model {
    mod check;
    mod clients;
    mod deaths;
    mod depth;
    mod examples;
    mod fair;
    mod fleet;
    mod message;
    mod regressions;
    mod schedule;
    mod source;
    mod store;
    mod window;
    mod workers;
    mod world;
}
