//! A schema and a queue prefix of a test's own on the shared services, and their removal.

use std::collections::BTreeSet;

use anyhow::Context;
use headway_broker::{Broker, Queue, RabbitBroker, RabbitConfig, Topic, names};
use headway_domain::PartitionId;
use headway_runtime::config::Config;
use headway_store::{Store, StoreConfig, StoreUrl};
use lapin::{
    Connection, ConnectionProperties,
    options::{ExchangeDeleteOptions, QueueDeleteOptions},
};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use uuid::Uuid;

use crate::{PIPES, jobs::PARTITION};

/// Logical shards of a test's deployment: fewer than usual, because each is a queue to be made and
/// removed.
pub(crate) const SHARDS: u16 = 4;

/// Where one test's cluster lives.
#[derive(Debug, Clone)]
pub struct Namespace {
    /// The address of PostgreSQL.
    pub database_url: String,
    /// The address of RabbitMQ.
    pub amqp_url: String,
    /// The schema of the tables.
    pub schema: String,
    /// What the names of queues begin with.
    pub prefix: String,
}

impl Namespace {
    /// A new one on the services that the environment names.
    ///
    /// # Panics
    /// When the environment names none.
    pub fn new() -> Self {
        let variable = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!("{name} is not set: run `make test`, which starts private services")
            })
        };
        let id = Uuid::new_v4().simple();
        Self {
            database_url: variable("HEADWAY_TEST_DATABASE_URL"),
            amqp_url: variable("HEADWAY_TEST_AMQP_URL"),
            schema: format!("e2e_{id}"),
            prefix: format!("e2e-{id}"),
        }
    }

    /// Where a process is that runs under these settings; none if it is embedded.
    pub fn of(config: &Config) -> Option<Self> {
        let (database, broker) = (config.database_url.as_ref()?, config.broker_url.as_ref()?);
        Some(Self {
            database_url: database.expose().to_owned(),
            amqp_url: broker.expose().to_owned(),
            schema: config.database_schema.clone(),
            prefix: config.prefix.clone(),
        })
    }

    /// The store, for looking at rows. The first call makes the tables.
    pub async fn store(&self) -> anyhow::Result<Store> {
        let config = StoreConfig {
            schema: self.schema.clone(),
            connections: 4,
            shards: SHARDS,
            ..StoreConfig::new(StoreUrl::new(self.database_url.as_str()))
        };
        Ok(Store::connect(&config).await?)
    }

    /// A broker, for workers inside the test and for looking at queues.
    pub async fn broker(&self) -> anyhow::Result<RabbitBroker> {
        let config = RabbitConfig::new(self.amqp_url.as_str(), self.prefix.as_str());
        Ok(RabbitBroker::connect(config).await?)
    }

    /// A bare connection to the database, whose statements see this schema.
    pub async fn database(&self) -> anyhow::Result<DatabaseConnection> {
        let mut options = ConnectOptions::new(self.database_url.as_str());
        options
            .sqlx_logging(false)
            .max_connections(1)
            .set_schema_search_path(self.schema.as_str());
        Ok(Database::connect(options).await?)
    }

    /// Removes the schema and every queue.
    pub async fn remove(&self) -> anyhow::Result<()> {
        self.remove_queues().await.context("queues are left")?;
        let database = self.database().await?;
        let sql = format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", self.schema);
        database.execute_unprepared(&sql).await?;
        database.close().await?;
        Ok(())
    }

    async fn remove_queues(&self) -> anyhow::Result<()> {
        let store = self.store().await?;
        let mark = store.epoch_mark().await?;
        let used = pipes_of_jobs(&store).await?;
        store.close().await;
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(&self.amqp_url, properties).await?;
        let channel = connection.create_channel().await?;
        let mark = mark.map(|mark| names::epoch_name(&self.prefix, mark));
        let queues: BTreeSet<_> = queues().into_iter().chain(used).collect();
        let queues = queues
            .into_iter()
            .map(|queue| names::queue_name(&self.prefix, &queue));
        let claim = names::deployment_name(&self.prefix);
        for queue in queues.chain(mark).chain([claim]) {
            channel
                .queue_delete(queue.into(), QueueDeleteOptions::default())
                .await?;
        }
        for topic in [Topic::Control, Topic::Events] {
            let exchange = names::exchange_name(&self.prefix, topic).into();
            channel
                .exchange_delete(exchange, ExchangeDeleteOptions::default())
                .await?;
        }
        connection.close(200, "done".into()).await?;
        Ok(())
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

/// Every queue that a test's deployment may have.
pub(crate) fn queues() -> Vec<Queue> {
    let own = std::iter::once(headway_domain::jobs::bulk::JOBS);
    let pipes = PIPES.into_iter().chain(own);
    let pipes = pipes.map(|pipe| Queue::Pipe(pipe.to_owned()));
    let reports = (0..SHARDS).map(Queue::Reports);
    let system = [Queue::Batch, Queue::DeadTasks, Queue::DeadSystem];
    pipes.chain(reports).chain(system).collect()
}

/// The pipes that jobs of the tests' partition were sent to, whatever they are.
async fn pipes_of_jobs(store: &Store) -> anyhow::Result<Vec<Queue>> {
    let partition = PartitionId::new(PARTITION)?;
    let pipes = store.pipes().list(&partition, "", 1000).await?.pipes;
    Ok(pipes
        .into_iter()
        .map(|pipe| Queue::Pipe(pipe.pipe))
        .collect())
}

/// Queues with ready messages, and how many.
pub(crate) async fn left_in(broker: &dyn Broker) -> anyhow::Result<Vec<(Queue, u64)>> {
    let mut left = Vec::new();
    for queue in queues() {
        let ready = broker.depth(&queue).await?.ready;
        if ready > 0 {
            left.push((queue, ready));
        }
    }
    Ok(left)
}
