//! The shared suite on RabbitMQ, and what is its own: lost connections and the broker's arguments.
//! Needs `HEADWAY_TEST_AMQP_URL`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

#[path = "rabbit/losses.rs"]
mod losses;
#[path = "rabbit/proxy.rs"]
mod proxy;
#[path = "rabbit/queues.rs"]
mod queues;
#[path = "rabbit/setup.rs"]
mod setup;
mod suite;

broker_suite!(setup::run_suite);
