//! A server with all its roles and a worker that is steered by files, for the tests of the
//! dashboard in a browser: what a job does next is theirs to say, so that they never need to hurry
//! or to wait. Settings come from the environment. Says `ready` with its address on standard
//! output, and ends in order when its standard input ends.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use headway_broker::{Broker, Queue};
use headway_job_types::child;
use headway_runtime::{config::Config, layers::Layers, tasks, telemetry};
use headway_server::App;
use headway_tests::{Namespace, WORK, end_with_input};
use headway_worker::{CancellationToken, Outcome, Task, TaskError, Worker};
use serde::Deserialize;
use tokio::net::TcpListener;

/// The argument with which everything is removed that a server made on PostgreSQL and RabbitMQ.
const REMOVE: &str = "remove";
/// A pipe whose messages all become dead letters.
const DOOMED: &str = "doomed";
/// How often an item looks at its gate.
const LOOK: Duration = Duration::from_millis(10);
/// Items that run at once.
const CONCURRENCY: usize = 64;
/// How long items may go on at the end; those at a gate would do so forever.
const DRAIN: Duration = Duration::from_millis(100);

/// Items without a number up to now.
static COUNTED: AtomicU32 = AtomicU32::new(0);

/// The payload of an item: what it waits for and how it ends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    /// Which item it is; without it the items of this process are counted.
    number: Option<u32>,
    /// How long it takes, in milliseconds.
    #[serde(default)]
    takes: u64,
    /// A file with the number of items that may end; missing, it lets nothing through.
    gate: Option<PathBuf>,
    /// While this file exists, items fail whose number is a multiple of `each`.
    broken: Option<PathBuf>,
    #[serde(default = "every")]
    each: u32,
    /// While this file exists, item 1 fails in another way.
    missing: Option<PathBuf>,
}

fn every() -> u32 {
    1
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if child::is_meant(&arguments) {
        // The server in this process runs the programs of job types so.
        return ExitCode::from(u8::from(child::run().is_err()));
    }
    start()
}

#[tokio::main(worker_threads = 2)]
async fn start() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let config = Config::load(&Layers::from_process(None))?.settings;
    telemetry::init(&config.log, config.log_format)?;
    if let Some(namespace) = Namespace::of(&config) {
        if std::env::args().any(|argument| argument == REMOVE) {
            return namespace.remove().await;
        }
        // First, so that the tables are made with few shards.
        namespace.store().await?.close().await;
    }
    let stop = end_with_input()?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let app = App::build(config, CancellationToken::new()).await?;
    let worker = Worker::builder()
        .broker(app.broker())
        .pipe(WORK)
        .concurrency(CONCURRENCY)
        .drain(DRAIN)
        .handler(handle)
        .build()?;
    let doomed = tasks::spawn(doom(app.broker()));
    println!("ready {address}");
    let workers = async {
        tokio::select! {
            ended = worker.run(stop) => Ok(ended?),
            ended = doomed => ended?,
        }
    };
    app.run_with_workers(Some(listener), workers).await?
}

async fn handle(task: Task) -> Result<Outcome, TaskError> {
    let item: Item = task.payload()?;
    let number = match item.number {
        Some(number) => number,
        None => COUNTED.fetch_add(1, Ordering::Relaxed),
    };
    let token = task.cancellation();
    tokio::select! {
        () = token.cancelled() => return Err(TaskError::retryable("STOPPED", "the item was stopped")),
        () = wait(&item, number, &token) => {}
    }
    let broken = item.broken.as_deref().is_some_and(Path::exists);
    if broken && number.is_multiple_of(item.each.max(1)) {
        let message = format!("document {number} is broken");
        return Err(TaskError::fatal("BROKEN_DOCUMENT", message));
    }
    if number == 1 && item.missing.as_deref().is_some_and(Path::exists) {
        return Err(TaskError::fatal(
            "MISSING_DOCUMENT",
            "document 1 is not there",
        ));
    }
    Ok(Outcome::done())
}

/// Gives up every message of a pipe, as a broker does after too many deliveries.
async fn doom(broker: Arc<dyn Broker>) -> anyhow::Result<()> {
    let mut consumer = broker.consume(&Queue::Pipe(DOOMED.to_owned()), 100).await?;
    let acker = consumer.acker();
    loop {
        for delivery in consumer.next(100).await? {
            acker.reject(&[delivery.tag], false).await;
        }
    }
}

async fn wait(item: &Item, number: u32, token: &CancellationToken) {
    tokio::time::sleep(Duration::from_millis(item.takes)).await;
    let Some(gate) = &item.gate else {
        return;
    };
    while !token.is_cancelled() && opened(gate).is_none_or(|opened| number >= opened) {
        tokio::time::sleep(LOOK).await;
    }
}

fn opened(gate: &Path) -> Option<u32> {
    std::fs::read_to_string(gate).ok()?.trim().parse().ok()
}
