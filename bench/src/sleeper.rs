//! A worker whose items take their time or kill its process, and which notes each start in a file.

use std::{fs::File, fs::OpenOptions, io::Write, path::PathBuf, sync::Arc, time::Duration};

use headway_broker::AmqpUrl;
use headway_runtime::config::Config;
use headway_worker::{Outcome, Task, TaskError, Worker};
use tokio_util::sync::CancellationToken;

/// Items of this type sleep as many milliseconds as follow.
pub(crate) const SLEEP: &str = "sleep-";
/// The same, but one in [`KILLER_EVERY`] kills the process.
pub(crate) const KILL: &str = "kill-";
/// See [`KILL`].
pub(crate) const KILLER_EVERY: u64 = 331;
/// The first number that kills.
pub(crate) const KILLER: u64 = 77;

/// The arguments of such a worker.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pipe that it consumes.
    #[arg(long)]
    pipe: String,
    /// How many handlers run at once.
    #[arg(long)]
    concurrency: usize,
    /// Where starts are noted: a line of job and number each.
    #[arg(long)]
    record: PathBuf,
}

/// Works until it is told to end, or killed.
pub(crate) async fn run(
    args: Args,
    config: &Config,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Some(url) = &config.broker_url else {
        anyhow::bail!("a worker needs the broker's address");
    };
    let record = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&args.record)?;
    let record = Arc::new(record);
    let worker = Worker::builder()
        .amqp(AmqpUrl::new(url.expose()), &config.prefix)
        .pipe(args.pipe)
        .concurrency(args.concurrency)
        .handler(move |task: Task| handle(task, record.clone()))
        .build()?;
    println!("ready");
    Ok(worker.run(shutdown).await?)
}

async fn handle(task: Task, record: Arc<File>) -> Result<Outcome, TaskError> {
    let number: u64 = task.payload()?;
    let job = task.job().rsplit('/').next().unwrap_or_default();
    // One write a line, so that processes may share the file.
    (&*record).write_all(format!("{job} {number}\n").as_bytes())?;
    let kind = task.task_type();
    if kind.starts_with(KILL) && number % KILLER_EVERY == KILLER {
        std::process::abort();
    }
    let millis = kind
        .strip_prefix(SLEEP)
        .or_else(|| kind.strip_prefix(KILL))
        .and_then(|millis| millis.parse().ok())
        .unwrap_or_default();
    tokio::time::sleep(Duration::from_millis(millis)).await;
    Ok(Outcome::done())
}
