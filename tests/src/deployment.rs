//! A deployment whose roles run inside the test: real roles, real pipes, real clients, one process.

use std::{
    net::SocketAddr,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use headway_relay::Links;
use headway_runtime::{
    config::{Config, Role},
    tasks::{self, Supervisor},
};
use headway_server::App;
use headway_worker::{Worker, WorkerBuilder};
use sea_orm::{ConnectOptions, Database, DatabaseConnection};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{BackEnd, Harness, Namespace, Options, WORK, back_end::placed};

/// How long roles and workers may take to end.
const END: Duration = Duration::from_secs(20);

/// A running deployment. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Deployment(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    harness: Harness,
    address: SocketAddr,
    options: Options,
    namespace: Option<Namespace>,
    folder: TempDir,
    roles: Mutex<Vec<Running>>,
    workers: Mutex<Vec<Running>>,
}

/// Something that runs until it is told to stop.
#[derive(Debug)]
struct Running {
    what: String,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

/// A worker that the test may end before the deployment does.
#[derive(Debug)]
pub struct WorkerHandle {
    stop: CancellationToken,
    crash: tokio::task::AbortHandle,
}

impl WorkerHandle {
    /// Tells it to drain and end.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends it without a word, as a crash does: what it held goes back, what it leased stays
    /// leased.
    pub fn crash(&self) {
        self.crash.abort();
    }
}

impl Deref for Deployment {
    type Target = Harness;

    fn deref(&self) -> &Harness {
        &self.0.harness
    }
}

impl Deployment {
    pub(crate) async fn start(options: Options) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        match options.back_end {
            BackEnd::Embedded => {
                let config = placed(&options.config, Role::ALL, folder.path(), None);
                if let Some(prepare) = options.prepare {
                    prepare(folder.path().to_owned(), None).await?;
                }
                let (app, stop) = app(config, &options).await?;
                let (store, broker) = (app.store().clone(), app.broker());
                let role = running("embedded", stop, app.run(Some(listener)));
                let harness = Harness::connect(address, store, Some(broker)).await?;
                Ok(Self::new(
                    harness,
                    address,
                    options,
                    None,
                    folder,
                    vec![role],
                ))
            }
            BackEnd::Cluster => {
                let namespace = Namespace::new();
                let started = start_roles(&options, &namespace, &folder, listener).await;
                let (harness, roles) = match started {
                    Ok(started) => started,
                    Err(error) => {
                        namespace.remove().await?;
                        return Err(error);
                    }
                };
                Ok(Self::new(
                    harness,
                    address,
                    options,
                    Some(namespace),
                    folder,
                    roles,
                ))
            }
        }
    }

    fn new(
        harness: Harness,
        address: SocketAddr,
        options: Options,
        namespace: Option<Namespace>,
        folder: TempDir,
        roles: Vec<Running>,
    ) -> Self {
        Self(Arc::new(Inner {
            harness,
            address,
            options,
            namespace,
            folder,
            roles: Mutex::new(roles),
            workers: Mutex::default(),
        }))
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// What it runs on.
    pub fn back_end(&self) -> BackEnd {
        self.0.options.back_end
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.0.options.config
    }

    /// Its schema and queue prefix, on the cluster.
    pub fn namespace(&self) -> Option<&Namespace> {
        self.0.namespace.as_ref()
    }

    /// A bare connection to its database, past Headway.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn database(&self) -> anyhow::Result<DatabaseConnection> {
        if let Some(namespace) = &self.0.namespace {
            return namespace.database().await;
        }
        let file = self.folder().join("headway.db");
        let mut options = ConnectOptions::new(format!("sqlite://{}", file.display()));
        options.sqlx_logging(false).max_connections(1);
        Ok(Database::connect(options).await?)
    }

    /// A folder that is removed at the end; the embedded database is in it.
    pub fn folder(&self) -> &std::path::Path {
        self.0.folder.path()
    }

    /// Starts a worker of [`WORK`] with 8 slots; `build` adds the handler and changes what it
    /// likes.
    ///
    /// # Panics
    /// When the worker cannot be built.
    pub fn worker(&self, build: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> WorkerHandle {
        let builder = Worker::builder()
            .broker(self.broker())
            .pipe(WORK)
            .name("tester")
            .concurrency(8)
            .lease_after(self.config().lease_after)
            .drain(Duration::from_secs(3))
            .cancel_grace(Duration::from_millis(500))
            .timeout_grace(Duration::from_millis(100));
        let worker = build(builder).build().expect("a worker");
        let stop = CancellationToken::new();
        let token = stop.clone();
        let worker = running("worker", stop.clone(), async move {
            Ok(worker.run(token).await?)
        });
        let crash = worker.task.abort_handle();
        lock(&self.0.workers).push(worker);
        WorkerHandle { stop, crash }
    }

    /// Ends everything in order and checks that nothing is left in pipes and outbox. Cleans up in
    /// any case.
    pub(crate) async fn close(&self) -> anyhow::Result<()> {
        let checked = self.check_and_stop().await;
        if checked.is_err() {
            self.dump().await;
        }
        let removed = self.remove().await;
        checked?;
        removed
    }

    async fn check_and_stop(&self) -> anyhow::Result<()> {
        self.drained().await.context("while everything runs")?;
        end(&self.0.workers).await?;
        self.drained()
            .await
            .context("once the workers have ended")?;
        end(&self.0.roles).await?;
        let Some(namespace) = &self.0.namespace else {
            return Ok(());
        };
        // What a role held without acknowledging it is back in its queue now.
        self.broker().close().await;
        let broker = namespace.broker().await?;
        let left = crate::services::left_in(&broker).await?;
        anyhow::ensure!(left.is_empty(), "left over once all have ended: {left:?}");
        Ok(())
    }

    /// Cleans up after a failure.
    pub(crate) async fn abandon(&self) {
        for list in [&self.0.workers, &self.0.roles] {
            if let Err(error) = end(list).await {
                eprintln!("{error:#}");
            }
        }
        if let Err(error) = self.remove().await {
            eprintln!("the deployment is not cleaned up: {error:#}");
        }
    }

    async fn remove(&self) -> anyhow::Result<()> {
        let Some(namespace) = &self.0.namespace else {
            return Ok(());
        };
        self.broker().close().await;
        self.store().close().await;
        namespace.remove().await
    }
}

/// Starts the roles of a cluster, each with its own connections, and connects to them.
async fn start_roles(
    options: &Options,
    namespace: &Namespace,
    folder: &TempDir,
    listener: TcpListener,
) -> anyhow::Result<(Harness, Vec<Running>)> {
    if let Some(prepare) = options.prepare {
        prepare(folder.path().to_owned(), Some(namespace.clone())).await?;
    }
    // First, so that the tables are made with few shards.
    let store = namespace.store().await?;
    let broker = Arc::new(namespace.broker().await?);
    let address = listener.local_addr()?;
    let mut listener = Some(listener);
    let mut roles = Vec::new();
    let copies = std::iter::repeat_n([Role::Tracking, Role::Batch], options.copies).flatten();
    for role in std::iter::once(Role::Server).chain(copies) {
        let config = placed(&options.config, [role], folder.path(), Some(namespace));
        let (app, stop) = app(config, options).await?;
        let listener = if role == Role::Server {
            listener.take()
        } else {
            None
        };
        roles.push(running(role.name(), stop, app.run(listener)));
    }
    let harness = Harness::connect(address, store, Some(broker)).await?;
    Ok((harness, roles))
}

async fn app(config: Config, options: &Options) -> anyhow::Result<(App, CancellationToken)> {
    let stop = CancellationToken::new();
    let supervisor = Supervisor::new(stop.clone());
    let links = Links::connect_through(&config, &supervisor, options.wrap).await?;
    let app = App::over(config, options.registry.clone(), links, supervisor);
    Ok((app, stop))
}

fn running(
    what: impl Into<String>,
    stop: CancellationToken,
    run: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> Running {
    Running {
        what: what.into(),
        stop,
        task: tasks::spawn(run),
    }
}

/// Ends all of them, and tells how the first of them ended that did not end well.
async fn end(list: &Mutex<Vec<Running>>) -> anyhow::Result<()> {
    let all = std::mem::take(&mut *lock(list));
    for running in &all {
        running.stop.cancel();
    }
    let mut result = Ok(());
    for running in all {
        let Running { what, task, .. } = running;
        let abort = task.abort_handle();
        let ended = match tokio::time::timeout(END, task).await {
            Ok(Ok(ended)) => ended.with_context(|| format!("{what} has failed")),
            // The test did that.
            Ok(Err(error)) if error.is_cancelled() => Ok(()),
            Ok(Err(error)) => Err(anyhow::anyhow!("{what}: {error}")),
            Err(_) => {
                abort.abort();
                Err(anyhow::anyhow!("{what} does not end"))
            }
        };
        result = result.and(ended);
    }
    result
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
