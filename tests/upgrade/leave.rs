//! Leaves a deployment as it is in the middle of work, for the tests that open it with a later
//! version:
//!
//! ```text
//! headway-test-leave PROGRAM FOLDER
//! ```
//!
//! writes `embedded.db` (SQLite), `cluster.sql` (PostgreSQL) and `messages.txt` (what is in
//! RabbitMQ) into the folder. `scripts/test-upgrade.sh leave REV` builds it within an older
//! revision.

mod fleet;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, ensure};
use fleet::Fleet;
use headway::v1::{CreateScheduleRequest, JobState, Schedule};
use headway_broker::{Broker, Queue};
use headway_client::{Client, JobBuilder, TaskBuilder};
use headway_tests::{Namespace, WORK, name, range, request};
use sea_orm::{ConnectionTrait, Database};

/// What the schema and the queues of the left cluster are called.
const LEFT: &str = "left";
/// Logical shards of a test's deployment.
const SHARDS: u16 = 4;
const WORKER: [(&str, &str); 2] = [("TEST_DELAY_US", "20000"), ("TEST_CONCURRENCY", "4")];

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let (Some(program), Some(folder)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: headway-test-leave PROGRAM FOLDER")
    };
    tokio::fs::create_dir_all(&folder).await?;
    embedded(&program, &folder).await.context("embedded")?;
    cluster(&program, &folder).await.context("cluster")
}

/// Jobs in every state that is not over, and two that are.
async fn create(client: &Client) -> anyhow::Result<()> {
    client
        .create_job(request("done", range(20, 10).build()))
        .await?;
    // The worker reads numbers alone.
    let wrong = TaskBuilder::new(WORK, "number").json(&serde_json::json!("none"));
    client
        .create_job(request("failed", JobBuilder::new(wrong).build()))
        .await?;
    for (job, state) in [("done", JobState::Completed), ("failed", JobState::Failed)] {
        until(client, job, |found| {
            found.state() == state && found.settled_time.is_some()
        })
        .await?;
    }
    let mut paused = range(300, 50).build();
    paused.max_in_flight = 40;
    client.create_job(request("paused", paused)).await?;
    until(client, "paused", done(10)).await?;
    client.pause_job(&name("paused")).await?;
    let mut running = range(400, 50).build();
    running.max_in_flight = 40;
    client.create_job(request("running", running)).await?;
    let mut waiting = range(10, 10).build();
    waiting.prerequisites = vec![headway::v1::Prerequisite {
        job: name("running").to_string(),
        ..Default::default()
    }];
    client.create_job(request("waiting", waiting)).await?;
    client
        .create_schedule(CreateScheduleRequest {
            parent: "partitions/default".to_owned(),
            schedule_id: "yearly".to_owned(),
            schedule: Some(Schedule {
                cron: "0 3 1 1 *".to_owned(),
                time_zone: "Europe/Berlin".to_owned(),
                spec: Some(range(1, 1).build()),
                ..Schedule::default()
            }),
            ..CreateScheduleRequest::default()
        })
        .await?;
    until(client, "running", done(20)).await
}

fn done(items: i64) -> impl Fn(&headway::v1::Job) -> bool {
    move |job| {
        job.progress
            .as_ref()
            .is_some_and(|now| now.items_done >= items)
    }
}

async fn until(
    client: &Client,
    job: &str,
    wanted: impl Fn(&headway::v1::Job) -> bool,
) -> anyhow::Result<()> {
    for _ in 0..1000 {
        if wanted(&client.get_job(&name(job)).await?) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("job {job} does not come so far")
}

async fn embedded(program: &Path, folder: &Path) -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let mut fleet = Fleet::new(data.path(), &WORKER);
    fleet.start("embedded", program).await?;
    create(&fleet.client().await?).await?;
    fleet.kill("embedded").await?;
    let file = data.path().join("headway.db");
    let database = Database::connect(format!("sqlite://{}", file.display())).await?;
    for statement in [
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA journal_mode = DELETE",
        "VACUUM",
    ] {
        database.execute_unprepared(statement).await?;
    }
    database.close().await?;
    tokio::fs::copy(&file, folder.join("embedded.db")).await?;
    Ok(())
}

async fn cluster(program: &Path, folder: &Path) -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let place = Namespace {
        schema: LEFT.to_owned(),
        prefix: LEFT.to_owned(),
        ..Namespace::new()
    };
    // Makes the tables, with as many shards as tests have.
    place.store().await?.close().await;
    let variables = [
        ("DATABASE_URL", place.database_url.as_str()),
        ("BROKER_URL", place.amqp_url.as_str()),
        ("DATABASE_SCHEMA", LEFT),
        ("PREFIX", LEFT),
        ("DATABASE_CONNECTIONS", "6"),
    ];
    let variables: Vec<_> = variables.into_iter().chain(WORKER).collect();
    let mut fleet = Fleet::new(data.path(), &variables);
    for role in ["server", "batch", "tracking", "worker"] {
        fleet.start(role, program).await?;
    }
    let client = fleet.client().await?;
    create(&client).await?;
    // What workers report now waits for tracking.
    fleet.kill("tracking").await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    fleet.kill("worker").await?;
    fleet.kill("batch").await?;
    client
        .create_job(request("queued", range(30, 10).build()))
        .await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    fleet.stop("server").await?;
    let left = messages(&place).await?;
    tokio::fs::write(folder.join("messages.txt"), left).await?;
    let dump = tokio::process::Command::new("pg_dump")
        .args([
            "--schema",
            LEFT,
            "--inserts",
            "--no-owner",
            "--no-privileges",
            "--dbname",
        ])
        .arg(&place.database_url)
        .output()
        .await?;
    ensure!(
        dump.status.success(),
        "pg_dump: {}",
        String::from_utf8_lossy(&dump.stderr)
    );
    tokio::fs::write(folder.join("cluster.sql"), dump.stdout).await?;
    place.remove().await
}

/// A line for each message: its queue and its bytes as hexadecimal digits.
async fn messages(place: &Namespace) -> anyhow::Result<String> {
    let broker = place.broker().await?;
    let mut queues = vec![
        ("work".to_owned(), Queue::Pipe(WORK.to_owned())),
        ("batch".to_owned(), Queue::Batch),
    ];
    queues.extend((0..SHARDS).map(|shard| (format!("reports-{shard}"), Queue::Reports(shard))));
    let mut text = String::new();
    for (named, queue) in queues {
        let mut consumer = broker.consume(&queue, 1000).await?;
        loop {
            let next = tokio::time::timeout(Duration::from_secs(1), consumer.next(1000)).await;
            let Ok(deliveries) = next else { break };
            for delivery in deliveries? {
                let digits: String = delivery
                    .body
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                text.push_str(&format!("{named} {digits}\n"));
            }
        }
    }
    broker.close().await;
    Ok(text)
}
