//! End-to-end tests over whole deployments, on both back ends.
//!
//! The cluster's tests need `HEADWAY_TEST_DATABASE_URL` and `HEADWAY_TEST_AMQP_URL`: run `make test`. Tests that stop the
//! services, or need the machine for themselves, are in the `chaos` program.

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

mod absences;
mod bad_inputs;
mod batches;
mod bounds;
mod bulk;
mod command_line;
mod commands;
mod control;
mod crashes;
mod cycles;
mod database_faults;
mod doubled;
mod downtime;
mod epochs;
mod expiry;
mod explain;
mod failures;
mod fencing;
mod finding;
mod guide;
mod job_type_files;
mod job_type_programs;
mod job_type_variables;
mod job_types;
mod left_behind;
mod long_items;
mod pipes;
mod programs;
mod redriving;
mod reflection;
mod refusals;
mod retries;
mod schedules;
mod second_processes;
mod sharing;
mod splitting;
mod timing;
mod transitions;
mod updating;
mod waiting;
mod waiting_for_retries;
mod watches;
