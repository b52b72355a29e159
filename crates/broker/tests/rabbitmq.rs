//! The shared suite on RabbitMQ, and what is its own: lost connections and the broker's arguments.
//! Needs `HEADWAY_TEST_AMQP_URL`.

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
