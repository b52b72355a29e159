//! Connecting a role to what it works with: the database, the broker, and the relay between them.

use std::{sync::Arc, time::Duration};

use headway_broker::{
    Broker,
    in_process::InProcessBroker,
    rabbitmq::{RabbitBroker, RabbitConfig},
};
use headway_retry::{Backoff, retry};
use headway_runtime::{
    config::Config,
    readiness::Readiness,
    tasks::{Supervisor, TaskKind},
};
use headway_store::{Store, StoreConfig, StoreError, StoreUrl};
use tokio_util::sync::CancellationToken;

use super::folder::{self, FolderLock};
use crate::Relay;

/// How often dependencies are looked at for readiness, and how long they may take to answer.
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_TIME: Duration = Duration::from_secs(2);
/// How often the database's clock is compared.
const CLOCK_EVERY: Duration = Duration::from_secs(10);

/// What every role works with.
#[derive(Debug, Clone)]
pub struct Links {
    /// The relay; it has the store and the broker.
    pub relay: Relay,
    /// Whether the database and the broker answer.
    pub readiness: Readiness,
    /// The right to use the embedded database.
    _folder: Option<Arc<FolderLock>>,
}

impl Links {
    /// Connects as the configuration says, waiting for a database or broker that is not up yet
    /// until `shutdown`, and makes sure of the broker's epoch. Background tasks run under the
    /// supervisor.
    ///
    /// # Errors
    /// When something is wrong that waiting does not mend, or on shutdown.
    pub async fn connect(config: &Config, supervisor: &Supervisor) -> anyhow::Result<Self> {
        Self::connect_through(config, supervisor, |broker| broker).await
    }

    /// As [`Links::connect`], with the broker that `wrap` makes of the configured one: for tests
    /// that lose or double messages between roles.
    ///
    /// # Errors
    /// As [`Links::connect`].
    pub async fn connect_through(
        config: &Config,
        supervisor: &Supervisor,
        wrap: impl FnOnce(Arc<dyn Broker>) -> Arc<dyn Broker>,
    ) -> anyhow::Result<Self> {
        let shutdown = supervisor.shutdown().clone();
        let folder = take_folder(config).await?;
        let store = open_store(config, &shutdown).await?;
        let broker = open_broker(config, &shutdown).await?;
        claim_prefix(config, &store, broker.as_ref(), &shutdown).await?;
        let broker = wrap(broker);
        // What a commit caused may be published until the very end, so the deleter ends after
        // everybody else.
        let (relay, deleter) = Relay::new(store, broker, shutdown.clone());
        supervisor.spawn(TaskKind::Service, "outbox-deleter", async move {
            deleter.await;
            Ok(())
        });
        insist("the broker's epoch", &shutdown, || relay.check_epoch()).await?;
        let clock = relay.store().clone();
        supervisor.spawn(TaskKind::Loop, "database-clock", async move {
            follow_clock(clock).await
        });
        let recounting = relay.clone();
        supervisor.spawn(TaskKind::Loop, "recount", async move {
            recount(recounting).await
        });
        let readiness = watch_dependencies(&relay, config, supervisor);
        Ok(Self {
            relay,
            readiness,
            _folder: folder,
        })
    }

    /// Closes the connections; the last thing that a process does.
    pub async fn close(&self) {
        self.relay.broker().close().await;
        self.relay.store().close().await;
    }
}

/// Takes an embedded database for this process.
async fn take_folder(config: &Config) -> anyhow::Result<Option<Arc<FolderLock>>> {
    let (database, folder) = match &config.database_url {
        None => (Some(config.sqlite_path()), Some(config.data_dir.clone())),
        Some(url) => (folder::sqlite_file(url.expose()), None),
    };
    let Some(database) = database else {
        return Ok(None);
    };
    let take = move || folder::take(&database, folder.as_deref());
    let lock = tokio::task::spawn_blocking(take).await??;
    Ok(Some(Arc::new(lock)))
}

/// Makes sure that the queues of this prefix are this deployment's, before anything is taken from
/// one.
async fn claim_prefix(
    config: &Config,
    store: &Store,
    broker: &dyn Broker,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let id = store.deployment();
    let claim = || broker.claim_prefix(id);
    if let Some(other) = insist("the message broker", shutdown, claim).await? {
        anyhow::bail!(
            "the queues with the prefix `{}` belong to another deployment ({other}), and this one is {id}; \
             set another prefix, or a virtual host of its own in broker_url",
            config.prefix
        );
    }
    Ok(())
}

async fn open_store(config: &Config, shutdown: &CancellationToken) -> anyhow::Result<Store> {
    let url = match &config.database_url {
        Some(url) => StoreUrl::new(url.expose()),
        None => StoreUrl::new(format!("sqlite://{}", config.sqlite_path().display())),
    };
    let store = StoreConfig {
        schema: config.database_schema.clone(),
        connections: config.database_connections,
        statement_timeout: config.database_statement_timeout,
        lease: config.lease_after,
        splits: config.max_splits_per_job.into(),
        pipes: config.max_pipes,
        ..StoreConfig::new(url)
    };
    // Waiting does not mend tables that this version must not use.
    let connect = || async {
        match Store::connect(&store).await {
            Err(error @ StoreError::Incompatible(_)) => Ok(Err(error)),
            Err(error) => Err(error),
            Ok(store) => Ok(Ok(store)),
        }
    };
    let connected = insist("the database", shutdown, connect).await?;
    Ok(connected?)
}

async fn open_broker(
    config: &Config,
    shutdown: &CancellationToken,
) -> anyhow::Result<Arc<dyn Broker>> {
    let Some(url) = &config.broker_url else {
        return Ok(Arc::new(InProcessBroker::new()));
    };
    let rabbit = RabbitConfig::new(url.expose(), config.prefix.as_str());
    let broker = insist("the message broker", shutdown, || {
        RabbitBroker::connect(rabbit.clone())
    })
    .await?;
    Ok(Arc::new(broker))
}

/// Tries until it works or the process is told to stop.
async fn insist<T, E, F>(
    what: &str,
    shutdown: &CancellationToken,
    attempt: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, E>>,
    E: std::fmt::Display,
{
    let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    // In a box: the futures of a start are nested so deeply that the compiler gives up at one more.
    let trying = Box::pin(retry(backoff, shutdown, attempt, |error| {
        tracing::warn!(%error, "waiting for {what}");
        true
    }));
    let Ok(value) = trying.await else {
        anyhow::bail!("the process was stopped while it was waiting for {what}");
    };
    Ok(value)
}

/// Compares the database's clock with this process's, as long as the process runs.
async fn follow_clock(store: Store) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(CLOCK_EVERY).await;
        if let Err(error) = store.sync_clock().await {
            tracing::warn!(%error, "cannot read the database's clock; trying again in 10 s");
        }
    }
}

/// Counts jobs again as soon as this process finds their counters wrong: until then it can store
/// nothing of them.
async fn recount(relay: Relay) -> anyhow::Result<()> {
    loop {
        relay.store().miscounted().await;
        let committed = relay.store().recount_jobs().await;
        relay.publish(committed).await;
    }
}

fn watch_dependencies(relay: &Relay, config: &Config, supervisor: &Supervisor) -> Readiness {
    let readiness = Readiness::new(config.readiness_damping);
    let database = readiness.dependency("database");
    let broker = readiness.dependency("broker");
    let shutdown = supervisor.shutdown().clone();
    let store = relay.store().clone();
    let token = shutdown.clone();
    supervisor.spawn(TaskKind::Loop, "probe-database", async move {
        let probe = || {
            let store = store.clone();
            async move { Ok(store.ping().await?) }
        };
        database.poll(PROBE_EVERY, PROBE_TIME, token, probe).await
    });
    let link = relay.clone();
    let token = shutdown.clone();
    supervisor.spawn(TaskKind::Loop, "probe-broker", async move {
        let probe = || {
            let link = link.clone();
            async move {
                link.broker().depth(&headway_broker::Queue::Batch).await?;
                Ok(())
            }
        };
        broker.poll(PROBE_EVERY, PROBE_TIME, token, probe).await
    });
    let state = readiness.clone();
    supervisor.spawn(TaskKind::Service, "readiness", async move {
        state.run(shutdown).await
    });
    readiness
}
