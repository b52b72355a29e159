//! How a worker is put together and run.

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use headway_broker::{AmqpUrl, Broker, RabbitBroker, RabbitConfig};
use headway_engine::{DEFAULT_STATUS_CAPACITY, Reporter, Settings, WorkerError, text};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::BuildError;
use crate::executor::{Handler, HandlerFuture, Handlers};
use crate::outcome::{Outcome, TaskError};
use crate::task::Task;

/// The most handlers of one worker that may run at once.
const MAX_CONCURRENCY: usize = 65_536;

enum Connection {
    Ready(Arc<dyn Broker>),
    Amqp { url: AmqpUrl, prefix: String },
}

/// Runs a handler for the items of one pipe. Start from [`Worker::builder`].
pub struct Worker {
    connection: Connection,
    pipe: String,
    parts: Parts,
    handler: Handler,
}

/// What has a default.
#[derive(Debug, Clone)]
struct Parts {
    name: String,
    concurrency: usize,
    executors: usize,
    status_capacity: usize,
    lease_after: Duration,
    heartbeat: Option<Duration>,
    result_timeout: Duration,
    drain: Duration,
    cancel_grace: Duration,
    timeout_grace: Duration,
}

/// Collects what a [`Worker`] needs: a broker, a pipe and a handler. The rest has defaults.
pub struct WorkerBuilder {
    connection: Option<Connection>,
    pipe: String,
    parts: Parts,
    handler: Option<Handler>,
}

impl Worker {
    /// Begins to put a worker together.
    pub fn builder() -> WorkerBuilder {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "worker".into());
        let parts = Parts {
            name: text::clean(
                format!("{host}-{}", std::process::id()),
                text::MAX_NAME_BYTES,
            ),
            concurrency: 8,
            executors: cores,
            status_capacity: DEFAULT_STATUS_CAPACITY,
            lease_after: Duration::from_secs(300),
            heartbeat: None,
            result_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(30),
            cancel_grace: Duration::from_secs(5),
            timeout_grace: Duration::from_secs(5),
        };
        WorkerBuilder {
            connection: None,
            pipe: String::new(),
            parts,
            handler: None,
        }
    }

    /// Consumes the pipe until `shutdown` is cancelled, then drains: running items may finish and
    /// are reported, the rest is handed back. Takes at most the drain time plus about 10 s from
    /// then. A broker that is away is waited for.
    ///
    /// Dropping the future instead loses nothing either: the broker delivers again what was not
    /// acknowledged.
    ///
    /// # Errors
    /// When the broker's address or prefix is refused, or the broker was closed.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let (broker, own) = match self.connection {
            Connection::Ready(broker) => (broker, false),
            Connection::Amqp { url, prefix } => {
                let mut config = RabbitConfig::new(url, prefix);
                config.name = self.parts.name.clone();
                let broker: Arc<dyn Broker> = Arc::new(RabbitBroker::start(config)?);
                (broker, true)
            }
        };
        let parts = self.parts;
        let settings = Settings {
            broker: broker.clone(),
            reporter: Reporter {
                worker: parts.name,
                session: Uuid::new_v4(),
            },
            concurrency: parts.concurrency,
            status_capacity: parts.status_capacity,
            lease_after: parts.lease_after,
            heartbeat: parts.heartbeat.unwrap_or(parts.lease_after / 3),
            result_timeout: parts.result_timeout,
            drain: parts.drain,
            cancel_grace: parts.cancel_grace,
        };
        let handlers = Handlers {
            handler: self.handler,
            concurrency: parts.concurrency,
            executors: parts.executors,
            timeout_grace: parts.timeout_grace,
        };
        let result = headway_engine::work(&self.pipe, settings, handlers, shutdown).await;
        if own {
            broker.close().await;
        }
        result
    }
}

impl WorkerBuilder {
    /// The broker to use. It stays open when the worker ends.
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.connection = Some(Connection::Ready(broker));
        self
    }

    /// Connects to RabbitMQ: its address (`amqp://` or `amqps://`) and the deployment's queue
    /// prefix.
    pub fn amqp(mut self, url: impl Into<AmqpUrl>, prefix: impl Into<String>) -> Self {
        self.connection = Some(Connection::Amqp {
            url: url.into(),
            prefix: prefix.into(),
        });
        self
    }

    /// The pipe to consume: 1 to 128 bytes of ASCII letters, digits, `_ - .`.
    pub fn pipe(mut self, pipe: impl Into<String>) -> Self {
        self.pipe = pipe.into();
        self
    }

    /// What the worker is called in failures and logs; cut at 128 bytes. Default: host and process
    /// id.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.parts.name = text::clean(name.into(), text::MAX_NAME_BYTES);
        self
    }

    /// How many handlers may run at once, 1 to 65,536. Default 8.
    pub fn concurrency(mut self, concurrency: usize) -> Self {
        self.parts.concurrency = concurrency;
        self
    }

    /// Over how many tasks of the runtime the handlers are spread. Default: the number of cores.
    /// Never more than the concurrency.
    pub fn executors(mut self, executors: usize) -> Self {
        self.parts.executors = executors;
        self
    }

    /// After how long an unfinished delivery becomes a lease. Default 5 min; keep it well below the
    /// broker's own limit for unacknowledged deliveries, 30 min on RabbitMQ, and equal to the
    /// deployment's.
    pub fn lease_after(mut self, lease_after: Duration) -> Self {
        self.parts.lease_after = lease_after;
        self
    }

    /// How often leases are renewed. Default: a third of [`WorkerBuilder::lease_after`].
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.parts.heartbeat = Some(heartbeat);
        self
    }

    /// How long a result is offered to a result pipe that refuses it, as when the pipe is full.
    /// Then its item fails with [`code::RESULT_UNDELIVERED`](crate::code::RESULT_UNDELIVERED), and
    /// further results of that pipe are offered once each until one is taken. Default 10 s.
    pub fn result_timeout(mut self, timeout: Duration) -> Self {
        self.parts.result_timeout = timeout;
        self
    }

    /// How long running items may go on once the worker is told to end. Default 30 s.
    pub fn drain(mut self, drain: Duration) -> Self {
        self.parts.drain = drain;
        self
    }

    /// How long items may go on after the drain time cancelled them. Default 5 s.
    pub fn cancel_grace(mut self, grace: Duration) -> Self {
        self.parts.cancel_grace = grace;
        self
    }

    /// How long a handler may go on after its item's timeout cancelled it. Default 5 s.
    pub fn timeout_grace(mut self, grace: Duration) -> Self {
        self.parts.timeout_grace = grace;
        self
    }

    /// Of how many jobs the newest status is remembered. Default 10,000.
    pub fn status_capacity(mut self, jobs: usize) -> Self {
        self.parts.status_capacity = jobs;
        self
    }

    /// What to do with an item. Many run at once on a few tasks: work that blocks or computes for
    /// long belongs into `tokio::task::spawn_blocking`.
    pub fn handler<F, Fut, E>(mut self, handler: F) -> Self
    where
        F: Fn(Task) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Outcome, E>> + Send + 'static,
        E: Into<TaskError>,
    {
        self.handler = Some(Arc::new(move |task| -> HandlerFuture {
            let handling = handler(task);
            Box::pin(async move { handling.await.map_err(Into::into) })
        }));
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(self) -> Result<Worker, BuildError> {
        let parts = self.parts;
        if !text::is_pipe_name(&self.pipe) {
            return Err(BuildError::Pipe(self.pipe));
        }
        if parts.concurrency == 0 || parts.concurrency > MAX_CONCURRENCY {
            return Err(BuildError::Concurrency(parts.concurrency));
        }
        if parts.lease_after.is_zero() {
            return Err(BuildError::Duration("lease_after"));
        }
        if parts.heartbeat.is_some_and(|heartbeat| heartbeat.is_zero()) {
            return Err(BuildError::Duration("heartbeat"));
        }
        let connection = self.connection.ok_or(BuildError::NoBroker)?;
        let handler = self.handler.ok_or(BuildError::NoHandler)?;
        Ok(Worker {
            connection,
            pipe: self.pipe,
            parts,
            handler,
        })
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("pipe", &self.pipe)
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerBuilder")
            .field("pipe", &self.pipe)
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
