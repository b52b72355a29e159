//! This version and an earlier one over the same database and broker, during a job of 50,000 items.
//! `scripts/test-upgrade.sh` builds the earlier one and names its program in
//! `HEADWAY_TEST_OLD_PROGRAM`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

mod fleet;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use fleet::Fleet;
use headway::v1::{Job, JobState};
use headway_client::Client;
use headway_tests::{Namespace, name, outcome_counts, range, request};
use lapin::{Connection, ConnectionProperties, options::QueueDeleteOptions};
use tempfile::TempDir;

const NEW: &str = env!("CARGO_BIN_EXE_headway-test-process");
const ITEMS: u32 = 50_000;
const ROLES: [&str; 4] = ["tracking", "batch", "worker", "server"];
/// How long the job may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

fn old() -> PathBuf {
    let program = std::env::var_os("HEADWAY_TEST_OLD_PROGRAM");
    program
        .expect("scripts/test-upgrade.sh sets HEADWAY_TEST_OLD_PROGRAM")
        .into()
}

/// Whether the earlier version starts on tables that a newer one made.
fn old_reads_newer() -> bool {
    std::env::var_os("HEADWAY_TEST_OLD_READS_NEWER").is_some()
}

async fn begin(client: &Client) {
    let job = range(ITEMS, 1000).build();
    client.create_job(request("long", job)).await.unwrap();
}

async fn until(client: &Client, what: &str, wanted: impl Fn(&Job) -> bool) -> Job {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let job = client.get_job(&name("long")).await;
        if let Ok(job) = &job
            && wanted(job)
        {
            return job.clone();
        }
        assert!(tokio::time::Instant::now() < deadline, "{what}: {job:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until this many percent are done, and tells that the job goes on.
async fn reaches(client: &Client, percent: u32) {
    let items = i64::from(ITEMS / 100 * percent);
    let done = |job: &Job| {
        job.progress
            .as_ref()
            .is_some_and(|now| now.items_done >= items)
    };
    until(client, &format!("{percent} %"), done).await;
}

async fn ends_well(client: &Client) {
    let ended = |job: &Job| job.settled_time.is_some();
    let job = until(client, "the end", ended).await;
    assert_eq!(job.state(), JobState::Completed);
    let items = i64::from(ITEMS);
    assert_eq!(outcome_counts(&job), [items, items, 0, 0]);
}

/// A cluster's place, and what is left of it in the end.
struct Place {
    namespace: Namespace,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            namespace: Namespace::new(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn fleet(&self) -> Fleet {
        let place = &self.namespace;
        let variables = [
            ("DATABASE_URL", place.database_url.as_str()),
            ("BROKER_URL", place.amqp_url.as_str()),
            ("DATABASE_SCHEMA", place.schema.as_str()),
            ("PREFIX", place.prefix.as_str()),
            ("DATABASE_CONNECTIONS", "6"),
            ("LEASE_AFTER", "10s"),
            ("REPAIR_MARGIN", "5s"),
            ("LOG", "warn"),
        ];
        Fleet::new(self.folder.path(), &variables)
    }

    async fn remove(self) {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(&self.namespace.amqp_url, properties);
        let connection = connection.await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        // The first version made as many shards as a deployment has by default.
        for shard in 0..16 {
            let queue = format!("{}.s.reports.{shard}", self.namespace.prefix);
            let options = QueueDeleteOptions::default();
            channel.queue_delete(queue.into(), options).await.unwrap();
        }
        connection.close(200, "done".into()).await.unwrap();
        self.namespace.remove().await.unwrap();
    }
}

/// Replaces one role after the other, at these percentages of the job.
async fn replace(fleet: &mut Fleet, client: &Client, program: &Path, from: u32) {
    for (step, role) in (0..).zip(ROLES) {
        reaches(client, from + step * 5).await;
        fleet.stop(role).await.unwrap();
        fleet.start(role, program).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an earlier version: scripts/test-upgrade.sh"]
async fn a_cluster_is_upgraded_and_rolled_back() {
    let place = Place::new();
    let mut fleet = place.fleet();
    for role in ROLES {
        fleet.start(role, &old()).await.unwrap();
    }
    let client = fleet.client().await.unwrap();
    begin(&client).await;
    replace(&mut fleet, &client, Path::new(NEW), 10).await;
    if old_reads_newer() {
        replace(&mut fleet, &client, &old(), 40).await;
    }
    ends_well(&client).await;
    for role in ROLES {
        fleet.stop(role).await.unwrap();
    }
    place.remove().await;
}

/// A role of the earlier version that starts last meets tables, and messages, of this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an earlier version: scripts/test-upgrade.sh"]
async fn an_earlier_version_joins_a_newer_one() {
    let place = Place::new();
    let mut fleet = place.fleet();
    for role in ROLES {
        fleet.start(role, Path::new(NEW)).await.unwrap();
    }
    let client = fleet.client().await.unwrap();
    begin(&client).await;
    // A worker has no database: every version of it joins.
    reaches(&client, 10).await;
    fleet.stop("worker").await.unwrap();
    fleet.start("worker", &old()).await.unwrap();
    if old_reads_newer() {
        replace(&mut fleet, &client, &old(), 20).await;
        replace(&mut fleet, &client, Path::new(NEW), 50).await;
    }
    ends_well(&client).await;
    for role in ROLES {
        fleet.stop(role).await.unwrap();
    }
    place.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an earlier version: scripts/test-upgrade.sh"]
async fn an_embedded_deployment_is_upgraded_and_rolled_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut fleet = Fleet::new(folder.path(), &[("LOG", "warn")]);
    fleet.start("embedded", &old()).await.unwrap();
    let client = fleet.client().await.unwrap();
    begin(&client).await;
    reaches(&client, 20).await;
    // In the middle of whatever it does.
    fleet.kill("embedded").await.unwrap();
    fleet.start("embedded", Path::new(NEW)).await.unwrap();
    reaches(&client, 50).await;
    if old_reads_newer() {
        fleet.stop("embedded").await.unwrap();
        fleet.start("embedded", &old()).await.unwrap();
    }
    ends_well(&client).await;
    fleet.stop("embedded").await.unwrap();
}
