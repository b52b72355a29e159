//! Workers that die, and are started again as a supervisor would.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use headway::v1::JobState;
use headway_tests::{
    Cluster, ClusterOptions, Deployment, PATIENCE, Record, Role, outcome_counts, range,
    run_cluster, until,
};
use headway_worker::{Outcome, Task, TaskError};
use tokio::sync::Barrier;

const PROGRAM: &str = env!("CARGO_BIN_EXE_headway-test-process");

on_both!(what_a_dead_worker_had_runs_again_beside_other_work);

async fn what_a_dead_worker_had_runs_again_beside_other_work(d: Deployment) {
    let record = Record::default();
    let notes = record.clone();
    let doomed = d.worker(|worker| {
        worker.handler(move |task: Task| {
            let running = notes.start(&task);
            async move {
                let _running = running;
                std::future::pending::<Result<Outcome, TaskError>>().await
            }
        })
    });
    // The worker runs 8 of these and holds the others.
    let old = d.create("old", range(12, 12).build()).await;
    until("all slots to be taken", PATIENCE, || async {
        (record.running() == 8).then_some(())
    })
    .await;
    doomed.crash();
    let new = d.create("new", range(4, 4).build()).await;
    // Nothing ends before all of it runs at once.
    let all = Arc::new(Barrier::new(16));
    let again = Record::default();
    let notes = again.clone();
    d.worker(|worker| {
        worker.concurrency(16).handler(move |task: Task| {
            let (running, all) = (notes.start(&task), all.clone());
            async move {
                let _running = running;
                all.wait().await;
                Ok::<_, TaskError>(Outcome::done())
            }
        })
    });
    let (old, new) = tokio::join!(
        d.finish(&old, JobState::Completed),
        d.finish(&new, JobState::Completed)
    );
    assert_eq!(outcome_counts(&old), [12, 12, 0, 0]);
    assert_eq!(outcome_counts(&new), [4, 4, 0, 0]);
    again.assert_runs(16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_costs_no_more_than_what_it_ran() {
    const SLOTS: u32 = 32;
    let options = ClusterOptions::new(PROGRAM).with(|options| {
        options.roles.insert(Role::Worker, 2);
        options.concurrency = 32;
        options.delay = Duration::from_secs(1);
    });
    run_cluster(options, |cluster| async move {
        let old = cluster.create("old", range(2 * SLOTS, 16).build()).await;
        cluster.ran(2 * SLOTS).await;
        let killed = Instant::now();
        let restart = cluster.restart(Role::Worker, 0);
        let new = cluster.create("new", range(SLOTS, 16).build());
        let (restarted, new) = tokio::join!(restart, new);
        restarted.unwrap();
        let (old, new) = tokio::join!(
            cluster.finish(&old, JobState::Completed),
            cluster.finish(&new, JobState::Completed)
        );
        // A second for what runs, one for what runs again, and one for the new job; one after the
        // other, a killed worker's items alone would take 32.
        let took = killed.elapsed();
        assert!(took < Duration::from_secs(12), "{took:?}");
        assert_eq!(outcome_counts(&old), [64, 64, 0, 0]);
        assert_eq!(outcome_counts(&new), [32, 32, 0, 0]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_that_kill_their_workers() {
    const KILLERS: [u32; 3] = [77, 500, 923];
    let options = ClusterOptions::new(PROGRAM).with(|options| {
        options.crash_on = KILLERS.to_vec();
        options.delay = Duration::from_millis(1);
    });
    run_cluster(options, |cluster| async move {
        let name = cluster.create("poison", range(1000, 250).build()).await;
        // Whoever watches over the workers starts each again that dies.
        let job = tokio::select! {
            job = cluster.finish(&name, JobState::Failed) => job,
            error = revive(&cluster) => panic!("the worker is not started again: {error:#}"),
        };
        assert_eq!(outcome_counts(&job), [1000, 997, 3, 0]);
        let failures = cluster.failures(&name).await;
        assert_eq!(failures.len(), 3);
        assert!(failures.iter().all(|failure| failure.code == "POISON"));
        cluster.items().assert_at_least_once(1000);
        // Once among others, once announced among others, and once alone.
        let runs = cluster.items().runs();
        let often: Vec<_> = runs.iter().filter(|(_, runs)| **runs > 3).collect();
        assert!(often.is_empty(), "{often:?}");
        for killer in KILLERS {
            // It may have been held only when another one killed its process.
            assert!(runs[&killer.to_string()] >= 2, "{runs:?}");
        }
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
