//! A deployment whose roles and workers are processes of their own, which a test may kill and start
//! again.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use headway_broker::Broker;
use headway_runtime::config::Config;
use headway_store::{Store, StoreConfig, StoreUrl};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::{Harness, ItemFile, Namespace, Process, Role, back_end::brisk};

/// What a cluster consists of.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The program of the processes: `env!("CARGO_BIN_EXE_headway-test-process")`.
    pub program: PathBuf,
    /// How many processes there are of each role.
    pub roles: BTreeMap<Role, usize>,
    /// Settings of the roles. Addresses, folders and names are set by the harness.
    pub config: Config,
    /// How long a handler takes.
    pub delay: Duration,
    /// Items of a worker process that run at once.
    pub concurrency: usize,
    /// The numbers that kill the process which runs them.
    pub crash_on: Vec<u32>,
    /// More of the environment, by the whole name of each variable.
    pub variables: Vec<(String, String)>,
    /// How long the test may take.
    pub deadline: Duration,
}

impl ClusterOptions {
    /// One process of each role and one worker.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        let roles = [Role::Server, Role::Tracking, Role::Batch, Role::Worker];
        Self {
            program: program.into(),
            roles: roles.into_iter().map(|role| (role, 1)).collect(),
            config: brisk(),
            delay: Duration::ZERO,
            concurrency: 16,
            crash_on: Vec::new(),
            variables: Vec::new(),
            deadline: Duration::from_secs(120),
        }
    }

    /// One process that is everything, on an embedded database.
    pub fn embedded(program: impl Into<PathBuf>) -> Self {
        Self {
            roles: BTreeMap::from([(Role::Embedded, 1)]),
            ..Self::new(program)
        }
    }

    /// The same with a change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// Running processes. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Cluster(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    harness: Harness,
    namespace: Option<Namespace>,
    items: ItemFile,
    processes: BTreeMap<(Role, usize), Mutex<Process>>,
    _folder: TempDir,
}

impl Deref for Cluster {
    type Target = Harness;

    fn deref(&self) -> &Harness {
        &self.0.harness
    }
}

impl Cluster {
    pub(crate) async fn start(options: ClusterOptions) -> anyhow::Result<Self> {
        let embedded = options.roles.contains_key(&Role::Embedded);
        let namespace = (!embedded).then(Namespace::new);
        match Self::start_in(&options, namespace.clone()).await {
            Ok(cluster) => Ok(cluster),
            Err(error) => {
                if let Some(namespace) = namespace {
                    namespace.remove().await?;
                }
                Err(error)
            }
        }
    }

    async fn start_in(
        options: &ClusterOptions,
        namespace: Option<Namespace>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let items = ItemFile::new(folder.path().join("items"));
        // First, so that the tables are made with few shards.
        let store = match &namespace {
            Some(namespace) => namespace.store().await?,
            None => embedded_store(folder.path()).await?,
        };
        let broker: Option<Arc<dyn Broker>> = match &namespace {
            Some(namespace) => Some(Arc::new(namespace.broker().await?)),
            None => None,
        };
        let mut processes = BTreeMap::new();
        for (role, count) in &options.roles {
            for number in 0..*count {
                let variables = variables(options, namespace.as_ref(), folder.path(), &items);
                let log = folder.path().join(format!("{role}-{number}.log"));
                let process = Process::new(*role, &options.program, variables, log);
                processes.insert((*role, number), process);
            }
        }
        for process in processes.values_mut() {
            process.launch().await?;
        }
        for process in processes.values_mut() {
            process.ready().await?;
        }
        let address = processes.values().find_map(Process::address);
        let address = address.context("no process listens")?;
        let harness = Harness::connect(address, store, broker).await?;
        let processes = processes
            .into_iter()
            .map(|(key, process)| (key, Mutex::new(process)))
            .collect();
        Ok(Self(Arc::new(Inner {
            harness,
            namespace,
            items,
            processes,
            _folder: folder,
        })))
    }

    /// Where its tables and queues are; none if it is embedded.
    pub fn namespace(&self) -> Option<&Namespace> {
        self.0.namespace.as_ref()
    }

    /// What the workers ran.
    pub fn items(&self) -> &ItemFile {
        &self.0.items
    }

    /// Waits until this many items ran, again or for the first time.
    pub async fn ran(&self, items: u32) {
        crate::until(
            &format!("{items} items to run"),
            Duration::from_secs(90),
            || async { (self.items().runs().values().sum::<u32>() >= items).then_some(()) },
        )
        .await;
    }

    /// The roles of its processes.
    pub fn roles(&self) -> BTreeSet<Role> {
        self.0.processes.keys().map(|(role, _)| *role).collect()
    }

    /// One of the processes.
    ///
    /// # Panics
    /// When there is none of this role and number.
    pub async fn process(&self, role: Role, number: usize) -> MutexGuard<'_, Process> {
        let process = self.0.processes.get(&(role, number));
        process
            .expect("a process of this role and number")
            .lock()
            .await
    }

    /// Kills a process and starts it again at once.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn restart(&self, role: Role, number: usize) -> anyhow::Result<()> {
        let mut process = self.process(role, number).await;
        process.kill().await?;
        process.start().await
    }

    /// Ends everything in order and checks that nothing is left in pipes and outbox. Cleans up in
    /// any case.
    pub(crate) async fn close(&self) -> anyhow::Result<()> {
        let checked = self.check_and_stop().await;
        if checked.is_err() {
            self.dump_all().await;
        }
        self.kill_all().await;
        let removed = self.remove().await;
        checked?;
        removed
    }

    async fn check_and_stop(&self) -> anyhow::Result<()> {
        self.drained().await.context("while everything runs")?;
        // Workers first: the others are there for what they report.
        for (_, process) in self.0.processes.iter().rev() {
            process.lock().await.stop().await?;
        }
        let owed = self.store().outbox_len().await?;
        ensure!(owed == 0, "{owed} messages are left in the outbox");
        if let Some(namespace) = &self.0.namespace {
            let left = crate::services::left_in(&namespace.broker().await?).await?;
            ensure!(left.is_empty(), "left over once all have ended: {left:?}");
        }
        Ok(())
    }

    /// Cleans up after a failure.
    pub(crate) async fn abandon(&self) {
        self.kill_all().await;
        if let Err(error) = self.remove().await {
            eprintln!("the cluster is not cleaned up: {error:#}");
        }
    }

    async fn kill_all(&self) {
        for process in self.0.processes.values() {
            if let Err(error) = process.lock().await.kill().await {
                eprintln!("a process is not killed: {error:#}");
            }
        }
    }

    async fn remove(&self) -> anyhow::Result<()> {
        if let Some(broker) = &self.broker {
            broker.close().await;
        }
        self.store().close().await;
        match &self.0.namespace {
            Some(namespace) => namespace.remove().await,
            None => Ok(()),
        }
    }

    /// Tells everything that may explain a failure, logs included.
    pub(crate) async fn dump_all(&self) {
        self.dump().await;
        for ((role, number), process) in &self.0.processes {
            // A test that was ended may hold it; its log is read all the same by the next one who
            // looks.
            if let Ok(process) = process.try_lock() {
                eprintln!("--- log of {role} {number}\n{}", process.log_tail());
            }
        }
    }
}

async fn embedded_store(folder: &Path) -> anyhow::Result<Store> {
    let url = format!("sqlite://{}", folder.join("headway.db").display());
    Ok(Store::connect(&StoreConfig::new(StoreUrl::new(url))).await?)
}

/// The environment of a process.
fn variables(
    options: &ClusterOptions,
    namespace: Option<&Namespace>,
    folder: &Path,
    items: &ItemFile,
) -> Vec<(String, String)> {
    let config = &options.config;
    let millis = |time: Duration| format!("{}ms", time.as_millis());
    let mut variables = vec![
        ("DATA_DIR", folder.display().to_string()),
        ("LISTEN", "127.0.0.1:0".to_owned()),
        ("LOG", config.log.clone()),
        (
            "DATABASE_CONNECTIONS",
            config.database_connections.to_string(),
        ),
        ("LEASE_AFTER", millis(config.lease_after)),
        ("SPLIT_TIMEOUT", millis(config.split_timeout)),
        ("SWEEP_INTERVAL", millis(config.sweep_interval)),
        ("OUTBOX_AFTER", millis(config.outbox_after)),
        ("REPAIR_MARGIN", millis(config.repair_margin)),
        ("EPOCH_INTERVAL", millis(config.epoch_interval)),
        ("READINESS_DAMPING", millis(config.readiness_damping)),
        ("DRAIN", millis(config.drain)),
        ("TEST_ITEMS", items.path().display().to_string()),
        ("TEST_DELAY_US", options.delay.as_micros().to_string()),
        ("TEST_CONCURRENCY", options.concurrency.to_string()),
    ];
    if !options.crash_on.is_empty() {
        let numbers: Vec<String> = options.crash_on.iter().map(u32::to_string).collect();
        variables.push(("TEST_CRASH_ON", numbers.join(",")));
    }
    if let Some(namespace) = namespace {
        variables.extend([
            ("DATABASE_URL", namespace.database_url.clone()),
            ("BROKER_URL", namespace.amqp_url.clone()),
            ("DATABASE_SCHEMA", namespace.schema.clone()),
            ("PREFIX", namespace.prefix.clone()),
        ]);
    }
    let named = |(name, value)| (format!("HEADWAY_{name}"), value);
    let variables = variables.into_iter().map(named);
    variables.chain(options.variables.clone()).collect()
}
