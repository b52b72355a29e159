//! One bad neighbour: whatever is wrong with a pipe, a worker or a splitter costs the jobs of
//! another partition nothing.
//!
//! The tests compare rates, so each has the machine for itself: one runs at a time, and cargo runs
//! one test program after the other. The cluster's tests need `HEADWAY_TEST_DATABASE_URL` and
//! `HEADWAY_TEST_AMQP_URL`: run `make test`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

use tokio::sync::Mutex;

/// Held by the one test that runs.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Runs each test on both back ends; `with` changes what it runs on.
macro_rules! on_both {
    ($($test:ident $(with $options:ident)?),+ $(,)?) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let _alone = crate::ALONE.lock().await;
                    let options = headway_tests::Options::new(headway_tests::BackEnd::Embedded)$(.with(super::$options))?;
                    headway_tests::run(options, super::$test).await;
                }
            )+
        }
        mod cluster {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let _alone = crate::ALONE.lock().await;
                    let options = headway_tests::Options::new(headway_tests::BackEnd::Cluster)$(.with(super::$options))?;
                    headway_tests::run(options, super::$test).await;
                }
            )+
        }
    };
}

mod crowds;
mod floods;
mod large;
mod measure;
mod pipes;
mod schedules;
mod splitters;
