//! Runs the document workers against a deployment's RabbitMQ.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use headway_documents::workers::{export_worker, tag_worker};
use headway_files::FileRoots;
use headway_runtime::{LogFormat, duration, shutdown, telemetry};
use headway_worker::{WorkerBuilder, WorkerError};
use tokio::task::JoinSet;

/// Workers that tag documents and export them into zip archives.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address of the broker: amqp://user:password@host:port/vhost.
    #[arg(long, env = "HEADWAY_BROKER_URL", hide_env_values = true)]
    broker_url: String,
    /// What the deployment's queue names begin with.
    #[arg(long, env = "HEADWAY_PREFIX", default_value = "headway")]
    prefix: String,
    /// Which workers to run; may be repeated. All by default.
    #[arg(long = "worker", value_enum)]
    workers: Vec<Kind>,
    /// How many items each worker runs at once.
    #[arg(long, default_value_t = 8)]
    concurrency: usize,
    /// After how long an unfinished item becomes a lease; the same as the deployment's.
    #[arg(long, env = "HEADWAY_LEASE_AFTER", default_value = "5m", value_parser = duration::parse)]
    lease_after: Duration,
    /// How long running items may go on when the process is told to end.
    #[arg(long, default_value = "30s", value_parser = duration::parse)]
    drain: Duration,
    /// The folders in and below which files are read and archives are written, separated by commas.
    /// None refuses every item.
    #[arg(long, env = "HEADWAY_FILE_ROOTS", value_delimiter = ',')]
    file_roots: Vec<PathBuf>,
    /// What to log: a level or a filter by module.
    #[arg(long, env = "HEADWAY_LOG", default_value = "info")]
    log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Tag,
    Export,
}

impl Kind {
    fn builder(self, roots: FileRoots) -> WorkerBuilder {
        match self {
            Self::Tag => tag_worker(roots),
            Self::Export => export_worker(roots),
        }
    }
}

fn main() -> ExitCode {
    shutdown::run(async {
        match run(Arguments::parse()).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("headway-documents: {error:#}");
                ExitCode::FAILURE
            }
        }
    })
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    telemetry::init(&arguments.log, LogFormat::Text)?;
    let shutdown = shutdown::on_signals()?;
    let roots = FileRoots::new(arguments.file_roots);
    let mut kinds = arguments.workers;
    if kinds.is_empty() {
        kinds = vec![Kind::Tag, Kind::Export];
    }
    kinds.dedup();
    let mut workers: JoinSet<Result<(), WorkerError>> = JoinSet::new();
    for kind in kinds {
        let builder = kind
            .builder(roots.clone())
            .amqp(arguments.broker_url.as_str(), arguments.prefix.as_str());
        let builder = builder.concurrency(arguments.concurrency);
        let worker = builder
            .lease_after(arguments.lease_after)
            .drain(arguments.drain)
            .build()?;
        workers.spawn(worker.run(shutdown.clone()));
    }
    let mut first_error = None;
    while let Some(ended) = workers.join_next().await {
        let result = ended
            .context("a worker panicked")
            .and_then(|result| Ok(result?));
        if let Err(error) = result {
            // One without the other would look healthy and do half of the work.
            shutdown.cancel();
            first_error.get_or_insert(error);
        }
    }
    first_error.map_or(Ok(()), Err)
}
