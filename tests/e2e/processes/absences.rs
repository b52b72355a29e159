//! Processes that are away, or frozen, for longer than leases last, and the orderly end of a
//! process that is everything.

use std::time::Duration;

use headway::v1::JobState;
use headway_broker::Queue;
use headway_client::JobName;
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

/// Waits until the outcomes of leased items wait for tracking, which does not take them, and the
/// leases are over by another lease.
async fn outcomes_wait(cluster: &Cluster) {
    let over = last_lease(cluster).await + i64::try_from(LEASE.as_micros()).unwrap();
    let runs = || cluster.items().runs().len();
    assert_eq!(runs(), ITEMS as usize);
    until("the leases to be over", PATIENCE, || async {
        (cluster.store().now() > over).then_some(())
    })
    .await;
}

async fn away_for_two_leases(cluster: Cluster) {
    let name = cluster.create("long", range(ITEMS, ITEMS).build()).await;
    let uid = cluster.uid(&name).await;
    leased(&cluster, uid).await;
    let mut tracking = cluster.process(Role::Tracking, 0).await;
    tracking.kill().await.unwrap();
    outcomes_wait(&cluster).await;
    let mut waiting = 0;
    for shard in 0..cluster.store().shards() {
        let reports = Queue::Reports(shard);
        waiting += cluster.broker().depth(&reports).await.unwrap().ready;
    }
    assert!(waiting > 0);
    tracking.start().await.unwrap();
    drop(tracking);
    all_once(&cluster, &name).await;
}

async fn all_once(cluster: &Cluster, name: &JobName) {
    let job = cluster.finish(name, JobState::Completed).await;
    let items = i64::from(ITEMS);
    assert_eq!(outcome_counts(&job), [items, items, 0, 0]);
    assert_each_once(cluster, ITEMS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracking_is_frozen_for_two_leases() {
    run_cluster(options(), frozen_for_two_leases).await;
}

async fn frozen_for_two_leases(cluster: Cluster) {
    let name = cluster.create("long", range(ITEMS, ITEMS).build()).await;
    let uid = cluster.uid(&name).await;
    leased(&cluster, uid).await;
    let tracking = cluster.process(Role::Tracking, 0).await;
    tracking.signal("STOP").await.unwrap();
    outcomes_wait(&cluster).await;
    tracking.signal("CONT").await.unwrap();
    drop(tracking);
    all_once(&cluster, &name).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_frozen_until_its_leases_are_over() {
    let options = options().with(|options| {
        options.roles.insert(Role::Worker, 2);
    });
    run_cluster(options, a_frozen_worker).await;
}

async fn a_frozen_worker(cluster: Cluster) {
    // The other one is away while the first takes both items.
    cluster.process(Role::Worker, 1).await.stop().await.unwrap();
    let name = cluster.create("long", range(2, 2).build()).await;
    let uid = cluster.uid(&name).await;
    until("the items to be leased", PATIENCE, || async {
        (cluster.store().rows_of(uid).await.unwrap()["item"] == 2).then_some(())
    })
    .await;
    let frozen = cluster.process(Role::Worker, 0).await;
    frozen.signal("STOP").await.unwrap();
    cluster
        .process(Role::Worker, 1)
        .await
        .start()
        .await
        .unwrap();
    let job = cluster.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [2, 2, 0, 0]);
    // It ends its items, which are over.
    frozen.signal("CONT").await.unwrap();
    drop(frozen);
    let again = cluster.create("again", range(2, 2).build()).await;
    cluster.finish(&again, JobState::Completed).await;
    assert_eq!(outcome_counts(&cluster.job(&name).await), [2, 2, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_drain_finishes_is_on_record() {
    let options = ClusterOptions::embedded(PROGRAM).with(|options| {
        options.concurrency = ITEMS as usize;
        // Shorter than the drain.
        options.delay = Duration::from_millis(500);
    });
    run_cluster(options, stop_while_items_run).await;
}

async fn stop_while_items_run(cluster: Cluster) {
    // Twice as many as run at once: some are done in the drain, the others after the restart.
    let name = cluster
        .create("halves", range(2 * ITEMS, ITEMS).build())
        .await;
    cluster.ran(ITEMS).await;
    cluster
        .process(Role::Embedded, 0)
        .await
        .stop()
        .await
        .unwrap();
    let begun = cluster.items().runs().len();
    cluster
        .process(Role::Embedded, 0)
        .await
        .start()
        .await
        .unwrap();
    let job = cluster.finish(&name, JobState::Completed).await;
    let items = i64::from(2 * ITEMS);
    assert_eq!(outcome_counts(&job), [items, items, 0, 0]);
    assert!(begun >= ITEMS as usize);
    assert_each_once(&cluster, 2 * ITEMS);
}

/// Checks that every item ran, and none twice.
fn assert_each_once(cluster: &Cluster, items: u32) {
    let runs = cluster.items().runs();
    let each = runs.len() == items as usize && runs.values().all(|runs| *runs == 1);
    assert!(each, "{runs:?}");
}
