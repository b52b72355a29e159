//! Runs a test in a deployment of its own: with a deadline, with an explanation of what failed, and
//! with an end in order that is a check of its own.

use std::time::Duration;

use headway_runtime::tasks;

use crate::{Cluster, ClusterOptions, Deployment, Options};

/// Runs a test in a deployment whose roles run inside the test.
///
/// # Panics
/// When the test fails, takes too long, or leaves something over.
pub async fn run<Test, Ended>(options: Options, test: Test)
where
    Test: FnOnce(Deployment) -> Ended,
    Ended: Future<Output = ()> + Send + 'static,
{
    start_log();
    let deadline = options.deadline;
    let deployment = match Deployment::start(options).await {
        Ok(deployment) => deployment,
        Err(error) => panic!("the deployment does not start: {error:#}"),
    };
    if let Err(failure) = play(deadline, test(deployment.clone())).await {
        deployment.dump().await;
        deployment.abandon().await;
        failure.resume();
    }
    if let Err(error) = deployment.close().await {
        panic!("the deployment does not end well: {error:#}");
    }
}

/// Runs a test in a deployment whose roles are processes.
///
/// # Panics
/// When the test fails, takes too long, or leaves something over.
pub async fn run_cluster<Test, Ended>(options: ClusterOptions, test: Test)
where
    Test: FnOnce(Cluster) -> Ended,
    Ended: Future<Output = ()> + Send + 'static,
{
    start_log();
    let deadline = options.deadline;
    let cluster = match Cluster::start(options).await {
        Ok(cluster) => cluster,
        Err(error) => panic!("the cluster does not start: {error:#}"),
    };
    if let Err(failure) = play(deadline, test(cluster.clone())).await {
        cluster.dump_all().await;
        cluster.abandon().await;
        failure.resume();
    }
    if let Err(error) = cluster.close().await {
        panic!("the cluster does not end well: {error:#}");
    }
}

enum Failure {
    Panic(Box<dyn std::any::Any + Send>),
    Late(Duration),
}

impl Failure {
    fn resume(self) -> ! {
        match self {
            Self::Panic(panic) => std::panic::resume_unwind(panic),
            Self::Late(deadline) => panic!("the test is not over after {deadline:?}"),
        }
    }
}

/// Plays a test to its end.
async fn play(
    deadline: Duration,
    test: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Failure> {
    let mut task = tasks::spawn(test);
    match tokio::time::timeout(deadline, &mut task).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(match error.try_into_panic() {
            Ok(panic) => Failure::Panic(panic),
            Err(_) => Failure::Late(deadline),
        }),
        Err(_) => {
            task.abort();
            Err(Failure::Late(deadline))
        }
    }
}

/// Errors are shown; more with `HEADWAY_TEST_LOG=info`.
fn start_log() {
    let filter = std::env::var("HEADWAY_TEST_LOG").unwrap_or_else(|_| "error".to_owned());
    if let Err(error) = headway_runtime::telemetry::init(&filter, Default::default()) {
        panic!("HEADWAY_TEST_LOG: {error}");
    }
}
