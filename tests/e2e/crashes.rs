//! A handler that kills its process, in processes that are started again.

use headway::v1::JobState;
use headway_tests::{Cluster, ClusterOptions, Role, outcome_counts, range, run_cluster};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_kills_its_workers() {
    let options = ClusterOptions::new(env!("CARGO_BIN_EXE_headway-test-process"))
        .with(|options| options.crash_on = Some(77));
    run_cluster(options, |cluster| async move {
        let name = cluster.create("poison", range(400, 100).build()).await;
        // Whoever watches over the workers starts each again that dies.
        let job = tokio::select! {
            job = cluster.finish(&name, JobState::Failed) => job,
            error = revive(&cluster) => panic!("the worker is not started again: {error:#}"),
        };
        assert_eq!(outcome_counts(&job), [400, 399, 1, 0]);
        let failures = cluster.failures(&name).await;
        assert_eq!((failures.len(), failures[0].code.as_str()), (1, "POISON"));
        cluster.items().assert_at_least_once(400);
        let runs = cluster.items().runs();
        // Once among others, unless it was delivered before, then twice alone: the third start would be one too many.
        assert!(
            (2..=3).contains(&runs["77"]),
            "{} starts of the poison",
            runs["77"]
        );
        // Once beside it, when their outcomes died with the process, and once alone.
        let others = runs.iter().filter(|(item, _)| *item != "77");
        let most = others.map(|(_, runs)| *runs).max();
        assert!(most <= Some(2), "{runs:?}");
    })
    .await;
}

/// Starts the worker again whenever it ends; comes back with an error only.
async fn revive(cluster: &Cluster) -> anyhow::Error {
    loop {
        let mut worker = cluster.process(Role::Worker, 0).await;
        if let Err(error) = worker.ended().await {
            return error;
        }
        if let Err(error) = worker.start().await {
            return error;
        }
    }
}
