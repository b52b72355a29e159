//! A process that would share a database file, an address or queues with another deployment is
//! refused before it changes anything.

use std::{path::Path, process::Stdio, time::Duration};

use headway::v1::JobState;
use headway_relay::Links;
use headway_runtime::{SecretUrl, config::Config, tasks::Supervisor};
use headway_tests::{BackEnd, Deployment, Options, Record, range, run};
use headway_worker::CancellationToken;
use sea_orm::ConnectionTrait;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::handlers::quick;

const PROGRAM: &str = env!("CARGO_BIN_EXE_headway-test-process");
const LIMIT: Duration = Duration::from_secs(30);

/// An embedded process in this folder; it ends when its standard input does.
fn embedded(folder: &Path, listen: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .arg("embedded")
        .env("HEADWAY_DATA_DIR", folder)
        .env("HEADWAY_LISTEN", listen)
        .env("HEADWAY_TEST_ITEMS", folder.with_extension("items"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// What a process that does not start says.
async fn refusal(command: &mut Command) -> String {
    let child = command.spawn().unwrap();
    let output = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
    let output = output.expect("it ends by itself").unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_and_an_address_have_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("one");
    let mut first = embedded(&data, "127.0.0.1:0").spawn().unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(LIMIT, lines.next_line()).await;
    let line = line.unwrap().unwrap().unwrap();
    let address = line.strip_prefix("ready ").unwrap();
    let pid = first.id().unwrap();

    let said = refusal(&mut embedded(&data, "127.0.0.1:0")).await;
    assert!(
        said.contains(&format!("is in use by process {pid} (")),
        "{said}"
    );
    let other = folder.path().join("two");
    let said = refusal(&mut embedded(&other, address)).await;
    assert!(
        said.contains(&format!("cannot listen on {address}")),
        "{said}"
    );
    assert!(!other.exists(), "it began before it could listen");

    drop(first.stdin.take());
    let ended = tokio::time::timeout(LIMIT, first.wait()).await;
    assert!(ended.unwrap().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_has_one_deployment() {
    run(Options::new(BackEnd::Cluster), two_deployments).await;
}

async fn two_deployments(d: Deployment) {
    let namespace = d.namespace().unwrap();
    let name = d.create("ours", range(20, 10).build()).await;
    let other = format!("{}_other", namespace.schema);
    let config = Config {
        database_url: Some(SecretUrl::new(namespace.database_url.as_str())),
        broker_url: Some(SecretUrl::new(namespace.amqp_url.as_str())),
        database_schema: other.clone(),
        prefix: namespace.prefix.clone(),
        ..Config::default()
    };
    let supervisor = Supervisor::new(CancellationToken::new());
    let refused = Links::connect(&config, &supervisor).await.unwrap_err();
    let said = refused.to_string();
    assert!(said.contains("belong to another deployment"), "{said}");
    assert!(said.contains(&d.store().deployment().to_string()), "{said}");
    supervisor.shutdown().cancel();

    // The same deployment has as many processes as it likes.
    let supervisor = Supervisor::new(CancellationToken::new());
    let config = Config {
        database_schema: namespace.schema.clone(),
        ..config
    };
    let links = Links::connect(&config, &supervisor).await.unwrap();
    supervisor.shutdown().cancel();
    supervisor.join(LIMIT).await.unwrap();
    links.close().await;

    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    d.finish(&name, JobState::Completed).await;
    record.assert_each_once(20);
    let database = namespace.database().await.unwrap();
    let drop = format!("DROP SCHEMA \"{other}\" CASCADE");
    database.execute_unprepared(&drop).await.unwrap();
    database.close().await.unwrap();
}
