//! One role in a process of its own, so that its CPU time and memory can be told from the others'.
//!
//! It says `ready` with its address, if it has one, on standard output, and ends when standard input does: it never outlives
//! the bench, however that ends. The last line of a worker says how many items it ran.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use clap::ValueEnum;
use headway_broker::AmqpUrl;
use headway_runtime::{
    config::{Config, Role},
    layers::Layers,
    shutdown, telemetry,
};
use headway_server::App;
use headway_worker::{Outcome, Task, TaskError, Worker};
use tokio::{io::AsyncReadExt, net::TcpListener};
use tokio_util::sync::CancellationToken;

/// What a child runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
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
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Tracking => "tracking",
            Self::Batch => "batch",
            Self::Worker => "worker",
        }
    }

    /// The role of the control plane that it is.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Server => Some(Role::Server),
            Self::Tracking => Some(Role::Tracking),
            Self::Batch => Some(Role::Batch),
            Self::Worker => None,
        }
    }
}

/// The arguments of a child; settings come from `HEADWAY_*` variables.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to run.
    kind: Kind,
    /// The pipe that a worker consumes.
    #[arg(long, default_value = "")]
    pipe: String,
    /// How many handlers of a worker run at once.
    #[arg(long, default_value_t = 1)]
    concurrency: usize,
}

/// Runs a child to its end.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::load(&Layers::from_process(None))?.settings;
    telemetry::init(&config.log, config.log_format)?;
    let shutdown = shutdown::on_signals()?;
    tokio::spawn(end_with_input(shutdown.clone()));
    if args.kind == Kind::Worker {
        return work(args, &config, shutdown).await;
    }
    let app = App::build(config, shutdown).await?;
    if args.kind == Kind::Server {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("ready {}", listener.local_addr()?);
        return app.run(Some(listener)).await;
    }
    println!("ready");
    app.run(None).await
}

async fn end_with_input(shutdown: CancellationToken) {
    let mut input = tokio::io::stdin();
    let mut ignored = [0; 64];
    // Nothing is ever written: what is read is the end, or an error that means the same.
    while input.read(&mut ignored).await.is_ok_and(|bytes| bytes > 0) {}
    shutdown.cancel();
}

async fn work(args: Args, config: &Config, shutdown: CancellationToken) -> anyhow::Result<()> {
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
pub fn noop(
    ran: Arc<AtomicU64>,
) -> impl Fn(Task) -> std::future::Ready<Result<Outcome, TaskError>> + Send + Sync + 'static {
    move |_task| {
        ran.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(Outcome::done()))
    }
}
