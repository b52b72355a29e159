//! A Headway process: the roles that its configuration names, on the same database and broker.

use std::{path::PathBuf, pin::pin, sync::Arc};

use anyhow::Context;
use headway_broker::Broker;
use headway_job_types::{Evaluator, FileTypes};
use headway_relay::Links;
use headway_runtime::{
    config::{Config, Role},
    tasks::{Supervisor, TaskKind},
};
use headway_splitters::{FileRoots, Registry};
use headway_store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Limits, ServerParts, serve};

/// A process that is connected and about to run.
#[derive(Debug)]
pub struct App {
    config: Config,
    registry: Registry,
    links: Links,
    supervisor: Supervisor,
}

impl App {
    /// Connects to what the configuration names, with the built-in splitters.
    ///
    /// # Errors
    /// If a setting cannot work, or on shutdown while waiting for the database or the broker.
    pub async fn build(config: Config, shutdown: CancellationToken) -> anyhow::Result<Self> {
        let registry = Registry::with_file_roots(file_roots(&config));
        Self::build_with(config, registry, shutdown).await
    }

    /// Like [`App::build`], with these splitters.
    ///
    /// # Errors
    /// Those of [`App::build`].
    pub async fn build_with(
        config: Config,
        registry: Registry,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let supervisor = Supervisor::new(shutdown);
        let links = Links::connect(&config, &supervisor).await?;
        Ok(Self::over(config, registry, links, supervisor))
    }

    /// A process over existing links, whose background tasks run under the same supervisor.
    pub fn over(config: Config, registry: Registry, links: Links, supervisor: Supervisor) -> Self {
        Self {
            config,
            registry,
            links,
            supervisor,
        }
    }

    /// Binds the configured address, if the configuration has the server role. Bind before
    /// [`App::build`], which migrates the database and may begin an epoch: a process that cannot
    /// listen must change nothing.
    ///
    /// # Errors
    /// If the address is in use or may not be used.
    pub async fn bind(config: &Config) -> anyhow::Result<Option<TcpListener>> {
        if !config.has(Role::Server) {
            return Ok(None);
        }
        let listener = TcpListener::bind(config.listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", config.listen))?;
        Ok(Some(listener))
    }

    /// The broker, for workers that run in the same process.
    pub fn broker(&self) -> Arc<dyn Broker> {
        self.links.relay.broker().clone()
    }

    /// The store, for tools and tests that look at rows.
    pub fn store(&self) -> &Store {
        self.links.relay.store()
    }

    /// Runs the roles, with workers on this process's pipes. When `workers` end, the shutdown token
    /// is cancelled and the roles end. In this order, Headway records the outcomes of the items that
    /// the workers finish in their drain. Tell the workers to end, and not the roles: cancel the
    /// token of the workers.
    ///
    /// # Errors
    /// Those of [`App::run`], at once: `workers` is dropped.
    pub async fn run_with_workers<Ended>(
        self,
        listener: Option<TcpListener>,
        workers: impl Future<Output = Ended>,
    ) -> anyhow::Result<Ended> {
        let shutdown = self.supervisor.shutdown().clone();
        let (mut roles, mut workers) = (pin!(self.run(listener)), pin!(workers));
        tokio::select! {
            ended = &mut workers => {
                shutdown.cancel();
                roles.await.map(|()| ended)
            }
            ran = &mut roles => {
                ran?;
                Ok(workers.await)
            }
        }
    }

    /// Runs the roles until the shutdown token is cancelled. `listener` serves clients, see
    /// [`App::bind`]. Where workers consume this process's pipes, use [`App::run_with_workers`].
    ///
    /// # Errors
    /// If a role failed or did not end in time.
    pub async fn run(self, listener: Option<TcpListener>) -> anyhow::Result<()> {
        let Self {
            config,
            registry,
            links,
            supervisor,
        } = self;
        let shutdown = supervisor.shutdown().clone();
        if config.has(Role::Server) {
            let listener = listener.context("a process with the server role needs a listener")?;
            let mut parts = ServerParts::new(links.relay.clone(), links.readiness.clone());
            parts.hosts = config.hosts.clone();
            let origins = config.web_origins.iter();
            parts.web_origins = origins
                .map(|origin| origin.parse())
                .collect::<Result<_, _>>()
                .context("web_origins")?;
            parts.limits = Limits {
                drain: config.drain,
                watches: usize::try_from(config.max_watches).context("max_watches")?,
                client_share: config.client_share,
                ..Limits::default()
            };
            if config.has(Role::Batch) {
                parts = parts.with_splitters(registry.clone());
            } else {
                // Other processes split and may know more splitters. The built-in ones still check
                // their definitions.
                parts.registry = Some(registry.clone());
            }
            if let Some(program) = &config.job_type_evaluator {
                parts.evaluator = Evaluator::new(program);
            }
            parts.job_type_variables = config.job_type_variables.iter().cloned().collect();
            if let Some(folder) = &config.job_types_dir {
                let variable = |name: &str| std::env::var(name).ok();
                let types = FileTypes::read(folder, &parts.evaluator, variable).await;
                let types = types
                    .with_context(|| format!("cannot read job_types_dir {}", folder.display()))?;
                parts.job_types = Arc::new(types);
            }
            let token = shutdown.clone();
            supervisor.spawn(TaskKind::Service, "server", async move {
                serve(listener, parts, token).await
            });
        }
        if config.has(Role::Tracking) {
            headway_worker_tracking::start(&config, &links, &supervisor);
        }
        if config.has(Role::Batch) {
            headway_worker_batch::start(&config, &links, registry, &supervisor);
        }
        shutdown.cancelled().await;
        tracing::info!("stopping");
        let ended = supervisor
            .join(config.drain + std::time::Duration::from_secs(1))
            .await;
        links.close().await;
        Ok(ended?)
    }
}

/// The folders that definitions are checked against. A server that splits nothing and has no such
/// setting leaves the check to the batch workers.
fn file_roots(config: &Config) -> FileRoots {
    if config.file_roots.is_empty() && !config.has(Role::Batch) {
        return FileRoots::new([PathBuf::from("/")]);
    }
    FileRoots::new(config.file_roots.iter().cloned())
}
