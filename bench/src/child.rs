//! One role in a process of its own, so that its CPU time and memory can be told from the others'.
//!
//! It says `ready` with its address, if it has one, on standard output, and ends when standard
//! input does: it never outlives the bench, however that ends. The last line of a worker says how
//! many items it ran.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use headway_broker::AmqpUrl;
use headway_runtime::{
    config::{self, Config},
    layers::Layers,
    shutdown, tasks, telemetry,
};
use headway_server::App;
use headway_worker::{Outcome, Task, TaskError, Worker};
use tokio::{io::AsyncReadExt, net::TcpListener};
use tokio_util::sync::CancellationToken;

/// A part of a deployment that runs as a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The API.
    Server,
    /// The tracking worker.
    Tracking,
    /// The batch worker.
    Batch,
    /// A worker whose handler does nothing.
    Worker,
}

impl Kind {
    /// The name in figures and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Tracking => "tracking",
            Self::Batch => "batch",
            Self::Worker => "worker",
        }
    }

    /// The role of the control plane that it is.
    pub(crate) fn role(self) -> Option<config::Role> {
        match self {
            Self::Server => Some(config::Role::Server),
            Self::Tracking => Some(config::Role::Tracking),
            Self::Batch => Some(config::Role::Batch),
            Self::Worker => None,
        }
    }
}

/// What a child does; settings come from `HEADWAY_*` variables.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Role {
    /// The API.
    Server,
    /// The tracking worker.
    Tracking,
    /// The batch worker.
    Batch,
    /// A worker whose handler does nothing.
    Worker(WorkerArgs),
    /// A worker whose handlers take their time or kill it.
    Sleeper(crate::sleeper::Args),
    /// Changes jobs at a steady pace.
    Driver(crate::driver::Args),
    /// A bare server of streams.
    FanOut(crate::fan_out::Args),
}

/// The arguments of a worker.
#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    /// The pipe that a worker consumes.
    #[arg(long, default_value = "")]
    pipe: String,
    /// How many handlers of a worker run at once.
    #[arg(long, default_value_t = 1)]
    concurrency: usize,
}

/// Runs a child to its end.
pub(crate) async fn run(role: Role) -> anyhow::Result<()> {
    let config = Config::load(&Layers::from_process(None))?.settings;
    telemetry::init(&config.log, config.log_format)?;
    let shutdown = shutdown::on_signals()?;
    tasks::spawn(end_with_input(shutdown.clone()));
    match role {
        Role::Worker(args) => work(args, &config, shutdown).await,
        Role::Sleeper(args) => crate::sleeper::run(args, &config, shutdown).await,
        Role::Driver(args) => crate::driver::run(args, config, shutdown).await,
        Role::FanOut(args) => crate::fan_out::run(args, shutdown).await,
        Role::Server => {
            let app = App::build(config, shutdown).await?;
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            println!("ready {}", listener.local_addr()?);
            app.run(Some(listener)).await
        }
        Role::Tracking | Role::Batch => {
            let app = App::build(config, shutdown).await?;
            println!("ready");
            app.run(None).await
        }
    }
}

async fn end_with_input(shutdown: CancellationToken) {
    let mut input = tokio::io::stdin();
    let mut ignored = [0; 64];
    // Nothing is ever written: what is read is the end, or an error that means the same.
    while input.read(&mut ignored).await.is_ok_and(|bytes| bytes > 0) {}
    shutdown.cancel();
}

async fn work(
    args: WorkerArgs,
    config: &Config,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Some(url) = &config.broker_url else {
        anyhow::bail!("a worker needs the broker's address");
    };
    let ran = Arc::new(AtomicU64::new(0));
    let worker = Worker::builder()
        .amqp(AmqpUrl::new(url.expose()), &config.prefix)
        .pipe(args.pipe)
        .concurrency(args.concurrency)
        .handler(noop(ran.clone()))
        .build()?;
    println!("ready");
    worker.run(shutdown).await?;
    println!("ran {}", ran.load(Ordering::Relaxed));
    Ok(())
}

/// A handler that only counts.
pub(crate) fn noop(
    ran: Arc<AtomicU64>,
) -> impl Fn(Task) -> std::future::Ready<Result<Outcome, TaskError>> + Send + Sync + 'static {
    move |_task| {
        ran.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(Outcome::done()))
    }
}
