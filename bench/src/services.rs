//! The PostgreSQL and RabbitMQ that are measured, and looks at them without Headway between.

use std::path::PathBuf;

use anyhow::Context;
use lapin::{
    Connection, ConnectionProperties,
    options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Where the services are. Addresses hold passwords and are never printed.
#[derive(Clone)]
pub(crate) struct Services {
    /// The database.
    pub database_url: String,
    /// The message broker.
    pub amqp_url: String,
    /// The folder of private services, if they are private.
    pub folder: Option<PathBuf>,
}

/// What keeps one part of the bench apart from all others: a schema, and what its queues' names
/// begin with.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// The PostgreSQL schema.
    pub schema: String,
    /// The prefix of queues.
    pub prefix: String,
}

impl Scope {
    /// A new one.
    pub(crate) fn new(tag: &str) -> Self {
        let random = uuid::Uuid::new_v4().simple().to_string();
        let random = random.get(..8).unwrap_or_default();
        Self {
            schema: format!("bench_{tag}_{random}"),
            prefix: format!("bench-{tag}-{random}"),
        }
    }
}

/// Where trees of files are made, and what jobs of the bench may read: the folder of temporary
/// files, without links.
pub(crate) fn scratch() -> PathBuf {
    let folder = std::env::temp_dir();
    folder.canonicalize().unwrap_or(folder)
}

impl Services {
    /// From the environment that `scripts/services.sh run` makes.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        let read = |name: &str| {
            std::env::var(name).map_err(|_| {
                anyhow::anyhow!(
                    "{name} is not set: use `make bench`, which starts PostgreSQL and RabbitMQ"
                )
            })
        };
        let folder = std::env::var_os("HEADWAY_TEST_SERVICES")
            .map(PathBuf::from)
            .and_then(|control| Some(control.parent()?.to_owned()));
        Ok(Self {
            database_url: read("HEADWAY_TEST_DATABASE_URL")?,
            amqp_url: read("HEADWAY_TEST_AMQP_URL")?,
            folder,
        })
    }

    /// A connection to the database.
    pub(crate) async fn database(&self) -> anyhow::Result<PgConnection> {
        PgConnection::connect(&self.database_url)
            .await
            .context("cannot connect to the database")
    }

    /// A connection to the broker.
    pub(crate) async fn broker(&self) -> anyhow::Result<Connection> {
        let uri = self
            .amqp_url
            .parse()
            .map_err(|_| anyhow::anyhow!("the broker's address cannot be read"))?;
        Connection::connect_uri(uri, ConnectionProperties::default())
            .await
            .context("cannot connect to the message broker")
    }

    /// Deletes what a scope made, as far as it is there.
    pub(crate) async fn clear(&self, scope: &Scope, pipes: &[&str]) -> anyhow::Result<()> {
        let mut database = self.database().await?;
        let schema = &scope.schema;
        let epoch: Option<String> = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT value FROM {schema}.setting WHERE name = 'epoch'"
        )))
        .fetch_optional(&mut database)
        .await
        .unwrap_or_default();
        let drop = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
        sqlx::raw_sql(AssertSqlSafe(drop))
            .execute(&mut database)
            .await?;
        database.close().await?;

        let broker = self.broker().await?;
        let channel = broker.create_channel().await?;
        let prefix = &scope.prefix;
        for name in queues(prefix, pipes, epoch.as_deref()) {
            channel
                .queue_delete(name.into(), QueueDeleteOptions::default())
                .await?;
        }
        for topic in ["control", "events"] {
            let name = format!("{prefix}.s.{topic}");
            channel
                .exchange_delete(name.into(), ExchangeDeleteOptions::default())
                .await?;
        }
        broker.close(200, "done".into()).await?;
        Ok(())
    }
}

/// Every queue that a deployment with these pipes can have.
fn queues(prefix: &str, pipes: &[&str], epoch: Option<&str>) -> Vec<String> {
    use headway_broker::{
        Queue,
        names::{deployment_name, epoch_name, queue_name},
    };
    let own = headway_domain::jobs::bulk::JOBS;
    let pipes = pipes.iter().copied().chain([own]);
    let pipes = pipes.map(|pipe| Queue::Pipe(pipe.to_owned()));
    let shards = (0..16).map(Queue::Reports);
    let rest = [Queue::Batch, Queue::DeadTasks, Queue::DeadSystem];
    let mut names: Vec<String> = pipes
        .chain(shards)
        .chain(rest)
        .map(|queue| queue_name(prefix, &queue))
        .collect();
    let mark = epoch.and_then(|epoch| epoch.rsplit(':').next()?.parse().ok());
    names.extend(mark.map(|mark| epoch_name(prefix, mark)));
    names.push(deployment_name(prefix));
    names
}

/// The messages that are ready in a queue; 0 where there is none.
pub(crate) async fn depth(broker: &Connection, name: &str) -> anyhow::Result<u64> {
    // A failing look closes its channel, so each has its own.
    let channel = broker.create_channel().await?;
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    match channel
        .queue_declare(name.into(), options, FieldTable::default())
        .await
    {
        Ok(queue) => {
            let ready = queue.message_count().into();
            channel.close(200, "done".into()).await?;
            Ok(ready)
        }
        Err(_) => Ok(0),
    }
}

/// The size of the whole database in bytes, system tables included.
pub(crate) async fn database_bytes(database: &mut PgConnection) -> anyhow::Result<i64> {
    Ok(
        sqlx::query_scalar("SELECT pg_database_size(current_database())")
            .fetch_one(database)
            .await?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_of_a_deployment_is_named() {
        let mark = uuid::Uuid::nil();
        let names = queues("b", &["work"], Some(&format!("1:{mark}")));
        assert_eq!(names.len(), 2 + 16 + 3 + 1 + 1);
        for name in [
            "b.p.work",
            "b.s.reports.15",
            "b.s.batch",
            &format!("b.s.epoch.{mark}"),
        ] {
            assert!(names.iter().any(|named| named == name), "{name}");
        }
        assert_eq!(queues("b", &[], Some("no mark")).len(), 21);
    }

    #[test]
    fn scopes_differ_and_are_valid_names() {
        let (one, two) = (Scope::new("c"), Scope::new("c"));
        assert_ne!(one.schema, two.schema);
        assert!(
            one.schema
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        );
        assert!(one.prefix.len() <= 64);
    }
}
