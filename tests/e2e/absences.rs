//! Tracking that is away, or stands still, for longer than leases last.

use std::time::Duration;

use headway::v1::JobState;
use headway_broker::Queue;
use headway_tests::{
    Cluster, ClusterOptions, PATIENCE, Role, outcome_counts, range, run_cluster, until,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_headway-test-process");
const LEASE: Duration = Duration::from_secs(1);
/// Items, all of which run at once.
const ITEMS: u32 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracking_is_away_for_two_leases() {
    run_cluster(options(), away_for_two_leases).await;
}

fn options() -> ClusterOptions {
    ClusterOptions::new(PROGRAM).with(|options| {
        options.config.lease_after = LEASE;
        options.concurrency = ITEMS as usize;
        // Longer than a lease begins late, and done while tracking is away.
        options.delay = LEASE * 3 / 2;
    })
}

/// Waits until every item is leased.
async fn leased(cluster: &Cluster, uid: headway_domain::JobUid) {
    until("the items to be leased", PATIENCE, || async {
        let rows = cluster.store().rows_of(uid).await.unwrap();
        (rows["item"] == u64::from(ITEMS)).then_some(())
    })
    .await;
}

/// When the last of the leases ends.
async fn last_lease(cluster: &Cluster) -> i64 {
    let mut last = 0;
    for shard in 0..cluster.store().shards() {
        let due = cluster.store().next_due(shard).await.unwrap();
        last = last.max(due.lease.unwrap_or(0));
    }
    last
}

async fn away_for_two_leases(cluster: Cluster) {
    let name = cluster.create("long", range(ITEMS, ITEMS).build()).await;
    let uid = cluster.uid(&name).await;
    leased(&cluster, uid).await;
    cluster
        .process(Role::Tracking, 0)
        .await
        .kill()
        .await
        .unwrap();
    let over = last_lease(&cluster).await + i64::try_from(LEASE.as_micros()).unwrap();
    let reports = || async {
        let mut ready = 0;
        for shard in 0..cluster.store().shards() {
            ready += cluster
                .broker()
                .depth(&Queue::Reports(shard))
                .await
                .unwrap()
                .ready;
        }
        ready
    };
    until(
        "reports to wait, and the leases to end",
        PATIENCE,
        || async { (reports().await > 0 && cluster.store().now() > over).then_some(()) },
    )
    .await;
    cluster
        .process(Role::Tracking, 0)
        .await
        .start()
        .await
        .unwrap();
    let job = cluster.finish(&name, JobState::Completed).await;
    let items = i64::from(ITEMS);
    assert_eq!(outcome_counts(&job), [items, items, 0, 0]);
    let runs = cluster.items().runs();
    assert!(
        runs.len() == ITEMS as usize && runs.values().all(|runs| *runs == 1),
        "{runs:?}"
    );
}
