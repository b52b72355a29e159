//! A role or a worker in a process of its own, for tests that kill it; or one that evaluates job
//! types. Settings come from the environment. Says `ready`, with its address if it listens, on
//! standard output, and ends in order when its standard input ends.

use std::{fs::File, process::ExitCode, str::FromStr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use headway_job_types::child;
use headway_runtime::{
    config::{Config, Role},
    layers::Layers,
    telemetry,
};
use headway_server::App;
use headway_tests::{ItemFile, SECOND, WORK, end_with_input};
use headway_worker::{CancellationToken, Outcome, Task, TaskError, Worker, WorkerBuilder};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if child::is_meant(&arguments) {
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
    let role = std::env::args().nth(1).context("which role?")?;
    let mut config = Config::load(&Layers::from_process(None))?.settings;
    telemetry::init(&config.log, config.log_format)?;
    let stop = end_with_input()?;
    match role.as_str() {
        "worker" => {
            let url = config.broker_url.as_ref().context("which broker?")?;
            let builder = || Worker::builder().amqp(url.expose(), config.prefix.as_str());
            println!("ready");
            workers(builder, &config, stop).await
        }
        "embedded" => {
            let listener = App::bind(&config).await?.context("no server role")?;
            let app = App::build(config.clone(), CancellationToken::new()).await?;
            let broker = app.broker();
            println!("ready {}", listener.local_addr()?);
            let workers = workers(|| Worker::builder().broker(broker.clone()), &config, stop);
            app.run_with_workers(Some(listener), workers).await?
        }
        "server" => {
            config.roles = [Role::Server].into();
            let listener = App::bind(&config).await?.context("no server role")?;
            let app = App::build(config, stop).await?;
            println!("ready {}", listener.local_addr()?);
            app.run(Some(listener)).await
        }
        "tracking" | "batch" => {
            config.roles = [Role::from_str(&role).map_err(anyhow::Error::msg)?].into();
            let app = App::build(config, stop).await?;
            println!("ready");
            app.run(None).await
        }
        other => bail!("`{other}` is no role"),
    }
}

fn variable<T: FromStr>(name: &str) -> anyhow::Result<Option<T>> {
    let Ok(text) = std::env::var(name) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(value) => Ok(Some(value)),
        Err(_) => bail!("{name} cannot be read"),
    }
}

/// Runs the worker of [`WORK`], and where the environment asks for it another one of [`SECOND`],
/// which is done with every item.
async fn workers(
    builder: impl Fn() -> WorkerBuilder,
    config: &Config,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let first = worker(builder(), config)?.run(stop.clone());
    if !variable("HEADWAY_TEST_SECOND")?.unwrap_or(false) {
        return Ok(first.await?);
    }
    let done = |_: Task| async { Ok::<_, TaskError>(Outcome::done()) };
    let second = builder().pipe(SECOND).handler(done).build()?;
    tokio::try_join!(first, second.run(stop))?;
    Ok(())
}

/// A worker that notes each number that it runs, takes its time, and dies of one.
fn worker(builder: WorkerBuilder, config: &Config) -> anyhow::Result<Worker> {
    let path: String = variable("HEADWAY_TEST_ITEMS")?.context("HEADWAY_TEST_ITEMS")?;
    let file = Arc::new(ItemFile::new(path).open()?);
    let delay = Duration::from_micros(variable("HEADWAY_TEST_DELAY_US")?.unwrap_or(0));
    let concurrency = variable("HEADWAY_TEST_CONCURRENCY")?.unwrap_or(16);
    let crash_on: String = variable("HEADWAY_TEST_CRASH_ON")?.unwrap_or_default();
    let crash_on = crash_on.split(',').filter(|number| !number.is_empty());
    let crash_on: Arc<[u32]> = crash_on.map(str::parse).collect::<Result<_, _>>()?;
    let worker = builder
        .pipe(WORK)
        .concurrency(concurrency)
        .lease_after(config.lease_after)
        .drain(Duration::from_secs(3))
        .handler(move |task: Task| handle(task, file.clone(), delay, crash_on.clone()));
    Ok(worker.build()?)
}

async fn handle(
    task: Task,
    file: Arc<File>,
    delay: Duration,
    crash_on: Arc<[u32]>,
) -> Result<Outcome, TaskError> {
    let number: u32 = task.payload()?;
    ItemFile::append(&file, &number.to_string())?;
    if crash_on.contains(&number) {
        std::process::abort();
    }
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    Ok(Outcome::done())
}
