//! Tests that kill and stop what everything else rests on, each with the machine for itself.
//!
//! They need private services that may be stopped: `HEADWAY_TEST_SERVICES`, as `make test` sets it.
//! On services that are somebody else's they are left out, and say so.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

mod chains;
mod crowd;
mod embedded;
mod losses;
mod outages;
mod plan;
mod roles;
mod watches;

use headway_tests::{Cluster, ClusterOptions, Services, run_cluster};
use tokio::sync::Mutex;

/// Held by the one test that runs.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The program of the processes.
const PROGRAM: &str = env!("CARGO_BIN_EXE_headway-test-process");

/// Runs a test alone, if there are services that may be stopped.
async fn alone<Ended>(options: ClusterOptions, test: impl FnOnce(Cluster, Services) -> Ended)
where
    Ended: Future<Output = ()> + Send + 'static,
{
    let Some(services) = Services::from_environment() else {
        eprintln!(
            "left out: HEADWAY_TEST_SERVICES is not set, so the services must not be stopped"
        );
        return;
    };
    let _alone = ALONE.lock().await;
    run_cluster(options, |cluster| test(cluster, services)).await;
}
