//! What a deployment runs on, and what a test may change about it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use headway_broker::Broker;
use headway_runtime::{
    SecretUrl,
    config::{Config, Role},
};
use headway_splitters::{FileRoots, Registry};

use crate::Namespace;

/// What a deployment runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackEnd {
    /// SQLite and pipes inside the process; all roles in one.
    Embedded,
    /// PostgreSQL and RabbitMQ; each role with its own connections.
    Cluster,
}

/// Puts something into a deployment's folder, or into its schema and queues, before any role
/// starts.
pub type Prepare = fn(PathBuf, Option<Namespace>) -> BoxFuture<'static, anyhow::Result<()>>;

/// How the test's deployment is different from the usual one.
#[derive(Debug, Clone)]
pub struct Options {
    /// What it runs on.
    pub back_end: BackEnd,
    /// Settings. Addresses, folders and names are set by the harness.
    pub config: Config,
    /// The splitters.
    pub registry: Registry,
    /// What stands between the roles and their brokers. Workers of the test and the harness itself
    /// are not concerned.
    pub wrap: fn(Arc<dyn Broker>) -> Arc<dyn Broker>,
    /// What is done before any role starts.
    pub prepare: Option<Prepare>,
    /// How many batch and tracking workers a cluster has of each.
    pub copies: usize,
    /// How long the test may take.
    pub deadline: Duration,
}

impl Options {
    /// The usual deployment.
    pub fn new(back_end: BackEnd) -> Self {
        Self {
            back_end,
            config: brisk(),
            registry: Registry::with_file_roots(FileRoots::new([std::env::temp_dir()])),
            wrap: |broker| broker,
            prepare: None,
            copies: 1,
            // For what hangs: beside other work on its cores the longest test takes a minute.
            deadline: Duration::from_secs(120),
        }
    }

    /// The same with a change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Settings under which what takes minutes in earnest takes moments.
pub(crate) fn brisk() -> Config {
    Config {
        database_connections: 6,
        // Sweeps at 100 ms took a fifth of the processor time of the tests of jobs.
        sweep_interval: Duration::from_millis(400),
        // Longer than a busy machine takes from a commit to its messages: those that a sweep sends
        // once more may run once more.
        outbox_after: Duration::from_secs(3),
        epoch_interval: Duration::from_millis(500),
        readiness_damping: Duration::from_millis(500),
        drain: Duration::from_secs(5),
        ..Config::default()
    }
}

/// The settings of one process of a deployment.
pub(crate) fn placed(
    config: &Config,
    roles: impl IntoIterator<Item = Role>,
    folder: &Path,
    namespace: Option<&Namespace>,
) -> Config {
    let mut config = Config {
        roles: roles.into_iter().collect(),
        data_dir: folder.to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        ..config.clone()
    };
    if let Some(namespace) = namespace {
        config.database_url = Some(SecretUrl::new(namespace.database_url.as_str()));
        config.broker_url = Some(SecretUrl::new(namespace.amqp_url.as_str()));
        config.database_schema = namespace.schema.clone();
        config.prefix = namespace.prefix.clone();
    }
    config
}
