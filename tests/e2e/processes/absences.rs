//! Processes that are away, or frozen, for longer than leases last, and the orderly end of a
//! process that is everything.

use std::{path::Path, time::Duration};

use headway::v1::JobState;
use headway_broker::Queue;
use headway_client::{JobBuilder, JobName, TaskBuilder};
use headway_store::{Store, StoreConfig, StoreUrl};
use headway_tests::{
    Cluster, ClusterOptions, PATIENCE, Program, Role, outcome_counts, range, run_cluster, until,
};
use serde_json::json;
use tokio::process::Command;

use super::programs::{END, TESTS as PROGRAM, address, connect, create};

/// Bytes of a file that the demo packs for a while, and for less than it drains.
const LARGE: usize = 32 << 20;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_demo_finishes_in_its_drain_is_on_record() {
    let folder = tempfile::tempdir().unwrap();
    let (root, out) = (folder.path().join("files"), folder.path().join("out"));
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("large"), noise(LARGE)).unwrap();
    let data = folder.path().join("data");
    let mut command = Command::new(Program::path(PROGRAM, "headway-demo"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .arg("--file-roots")
        .arg(folder.path());
    let demo = Program::start(&mut command, folder.path());
    let client = connect(address(&demo.logged("serving at").await)).await;
    let source = json!({"root": root, "dir": "", "files": ["large"]});
    let payload = json!({"source": source, "out": out});
    let task = TaskBuilder::new("documents.export", "export").json(&payload);
    create(&client, "large", JobBuilder::new(task).build()).await;
    until("the archive to be begun", PATIENCE, || async {
        (!names(&out).is_empty()).then_some(())
    })
    .await;
    let begun = names(&out);
    assert!(!begun[0].ends_with(".zip"), "the file is too small");
    assert!(demo.terminate(END).await.success());
    let finished = names(&out);
    assert!(finished[0].ends_with(".zip"), "{finished:?}");

    let url = format!("sqlite://{}", data.join("headway.db").display());
    let config = StoreConfig::new(StoreUrl::new(url));
    let store = Store::connect(&config).await.unwrap();
    let name = "partitions/default/jobs/large".parse().unwrap();
    let job = store.job(&name).await.unwrap().job;
    assert_eq!(job.state(), headway_domain::jobs::JobState::Completed);
    store.close().await;
}

/// The names of what is in a folder; none if there is no folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    names.filter_map(|name| name.into_string().ok()).collect()
}

/// Bytes that no packer makes fewer: the multiples of an odd number, each folded once.
fn noise(bytes: usize) -> Vec<u8> {
    let word = |number: u64| {
        let product = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (product ^ product >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    };
    (0..bytes as u64 / 8)
        .flat_map(|number| word(number).to_le_bytes())
        .collect()
}
