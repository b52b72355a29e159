//! End-to-end tests over whole deployments, on both back ends.
//!
//! The cluster's tests need `HEADWAY_TEST_DATABASE_URL` and `HEADWAY_TEST_AMQP_URL`: run
//! `make test`. Tests that stop the services, or need the machine for themselves, are in the
//! `chaos` program.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

/// Runs each test on both back ends; `with` changes what it runs on.
macro_rules! on_both {
    ($($test:ident $(with $options:ident)?),+ $(,)?) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let options = headway_tests::Options::new(headway_tests::BackEnd::Embedded)$(.with(super::$options))?;
                    headway_tests::run(options, super::$test).await;
                }
            )+
        }
        mod cluster {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let options = headway_tests::Options::new(headway_tests::BackEnd::Cluster)$(.with(super::$options))?;
                    headway_tests::run(options, super::$test).await;
                }
            )+
        }
    };
}

use headway_tests::handlers;

mod batches;
mod clients;
mod job_types;
mod jobs;
mod partitions;
mod pipes;
mod prerequisites;
mod processes;
mod reports;
mod retries;
mod schedules;
mod watches;
