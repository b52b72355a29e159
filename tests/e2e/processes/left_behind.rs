//! A database and messages that the first version left in the middle of work, opened, migrated and
//! worked off by this one; and tables that this version must not use.
//! `scripts/test-upgrade.sh leave` made the files.

use std::{io::Read, path::PathBuf, process::Stdio, time::Duration};

use anyhow::Context;
use flate2::read::GzDecoder;
use futures::{FutureExt, TryStreamExt, future::BoxFuture};
use headway::v1::{Job, JobState, ListJobsRequest};
use headway_broker::{Broker, Outgoing, Queue};
use headway_client::schedule_name;
use headway_tests::{BackEnd, Deployment, Namespace, Options, Record, WORK, name, outcome_counts};
use sea_orm::{ConnectionTrait, Database};

use crate::handlers::quick;

const EMBEDDED: &[u8] = include_bytes!("../../upgrade/left/embedded.db.gz");
const CLUSTER: &[u8] = include_bytes!("../../upgrade/left/cluster.sql.gz");
const MESSAGES: &[u8] = include_bytes!("../../upgrade/left/messages.txt.gz");
const PROGRAM: &str = env!("CARGO_BIN_EXE_headway-test-process");

on_both!(work_of_the_first_version_is_worked_off with left);

fn left(options: &mut Options) {
    options.prepare = Some(restore);
    options.config.outbox_after = Duration::from_millis(500);
}

fn restore(
    folder: PathBuf,
    namespace: Option<Namespace>,
) -> BoxFuture<'static, anyhow::Result<()>> {
    async move {
        match namespace {
            None => Ok(std::fs::write(
                folder.join("headway.db"),
                unpacked(EMBEDDED)?,
            )?),
            Some(namespace) => restore_cluster(&namespace).await,
        }
    }
    .boxed()
}

fn unpacked(packed: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn restore_cluster(namespace: &Namespace) -> anyhow::Result<()> {
    let dump = String::from_utf8(unpacked(CLUSTER)?)?;
    // Without what psql alone understands.
    let lines = dump.lines().filter(|line| !line.starts_with('\\'));
    let schema = format!("\"{}\"", namespace.schema);
    let sql = lines.collect::<Vec<_>>().join("\n");
    let database = namespace.database().await?;
    database
        .execute_unprepared(&sql.replace("\"left\"", &schema))
        .await?;
    database.close().await?;
    let broker = namespace.broker().await?;
    let store = namespace.store().await?;
    let mark = store.epoch_mark().await?.context("an epoch")?;
    broker.plant_epoch(mark).await?;
    store.close().await;
    let text = String::from_utf8(unpacked(MESSAGES)?)?;
    let messages = text.lines().map(message).collect::<anyhow::Result<_>>()?;
    for result in broker.publish(messages).await {
        result?;
    }
    broker.close().await;
    Ok(())
}

fn message(line: &str) -> anyhow::Result<Outgoing> {
    let (queue, digits) = line.split_once(' ').context("a queue and a body")?;
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16);
    let body: Result<Vec<u8>, _> = (0..digits.len()).step_by(2).map(byte).collect();
    let queue = match queue.strip_prefix("reports-") {
        Some(shard) => Queue::Reports(shard.parse()?),
        None if queue == "batch" => Queue::Batch,
        None => Queue::Pipe(WORK.to_owned()),
    };
    Ok(Outgoing {
        queue,
        body: body?.into(),
    })
}

async fn work_of_the_first_version_is_worked_off(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let expected = |job: &Job| job.progress.as_ref().map_or(0, |now| now.items_done);
    assert_eq!(expected(&d.job(&name("done")).await), 20);
    let failed = d.job(&name("failed")).await;
    assert_eq!(failed.state(), JobState::Failed);
    assert_eq!(d.failures(&name("failed")).await.len(), 1);
    let paused = d.job(&name("paused")).await;
    assert_eq!(paused.state(), JobState::Paused);
    assert!(expected(&paused) >= 10);
    d.client().resume_job(&name("paused")).await.unwrap();
    let mut jobs = vec![("paused", 300), ("running", 400), ("waiting", 10)];
    if d.back_end() == BackEnd::Cluster {
        jobs.push(("queued", 30));
    }
    for (id, items) in jobs {
        let job = d.finish(&name(id), JobState::Completed).await;
        assert_eq!(outcome_counts(&job), [items, items, 0, 0], "{id}");
    }
    let request = ListJobsRequest {
        parent: "partitions/default".to_owned(),
        ..ListJobsRequest::default()
    };
    let listed: Vec<Job> = d.client().jobs(request).try_collect().await.unwrap();
    assert!(listed.len() >= 5);
    let yearly = schedule_name("default", "yearly");
    let schedule = d.client().get_schedule(&yearly).await.unwrap();
    assert_eq!(schedule.time_zone, "Europe/Berlin");
    assert!(schedule.next_run_time.is_some() && schedule.problem.is_empty());
}

/// It says so at once, with a status that is not 0.
#[tokio::test]
async fn tables_that_need_a_newer_version_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headway.db");
    std::fs::write(&file, unpacked(EMBEDDED).unwrap()).unwrap();
    let url = format!("sqlite://{}", file.display());
    let config = headway_store::StoreConfig::new(headway_store::StoreUrl::new(url.as_str()));
    headway_store::Store::connect(&config)
        .await
        .unwrap()
        .close()
        .await;
    let database = Database::connect(url).await.unwrap();
    for statement in [
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m2099_01_01_000001_future', 1)",
        "UPDATE schema_compat SET oldest_level = 1000, oldest_version = '9.0.0'",
    ] {
        database.execute_unprepared(statement).await.unwrap();
    }
    database.close().await.unwrap();
    let mut command = tokio::process::Command::new(PROGRAM);
    command
        .arg("embedded")
        .env("HEADWAY_DATA_DIR", folder.path())
        .env("HEADWAY_LISTEN", "127.0.0.1:0")
        .stdin(Stdio::piped())
        .kill_on_drop(true);
    let ended = tokio::time::timeout(Duration::from_secs(20), command.output());
    let ended = ended.await.expect("it ends by itself").unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("which need Headway 9.0.0 or newer"), "{said}");
}
