//! Connections, transactions and the database's clock, in both dialects.

pub(crate) mod bulk;
pub(crate) mod clock;
mod compat;
pub(crate) mod keys;
mod migration;

pub(crate) use migration::LOCK;

use std::{fmt, sync::Arc, time::Duration};

use headway_domain::Micros;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    FromQueryResult, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value,
};
use tokio::sync::{Mutex, MutexGuard};

use self::clock::{Clock, SystemClock, TimeSource};
use crate::{error::StoreError, ops::limits::KnownLimits, rows::meta::MetaCache};

/// Where the database is. Never printed: it may hold a password.
#[derive(Clone)]
pub struct StoreUrl(String);

impl StoreUrl {
    /// `postgres://...` or `sqlite://FILE`.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreUrl(hidden)")
    }
}

/// How to use the database.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Where it is.
    pub url: StoreUrl,
    /// The PostgreSQL schema that holds the tables; made if missing. Letters, digits and `_`. Ignored on SQLite.
    pub schema: String,
    /// Connections at most, on PostgreSQL.
    pub connections: u32,
    /// Logical shards, set in the database at its first start, 1 to 256.
    pub shards: u16,
    /// How long a lease of a long-running item lasts.
    pub lease: Duration,
    /// Pages of one job that batch workers may split at once.
    pub splits: u64,
    /// The clocks of this machine.
    pub time: Arc<dyn TimeSource>,
}

impl StoreConfig {
    /// The defaults with this address.
    pub fn new(url: StoreUrl) -> Self {
        Self {
            url,
            schema: "headway".to_owned(),
            connections: 16,
            shards: 16,
            lease: Duration::from_secs(300),
            splits: 16,
            time: Arc::new(SystemClock::default()),
        }
    }
}

/// An answer that takes longer does not tell the time.
const SLOW_CLOCK: Duration = Duration::from_secs(1);

/// How much a commit promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It survives a power loss: what a client was told.
    Full,
    /// On SQLite it survives the process but perhaps not the machine: what messages can make again.
    Process,
}

pub(crate) struct Db {
    read: DatabaseConnection,
    full: DatabaseConnection,
    process: DatabaseConnection,
    /// SQLite has one writer: waiting here is fair, waiting in SQLite is polling.
    writer: Option<Mutex<()>>,
    pub(crate) clock: Clock,
    pub(crate) shards: u16,
    pub(crate) lease: Micros,
    pub(crate) splits: u64,
    pub(crate) meta: MetaCache,
    pub(crate) known_limits: KnownLimits,
    /// What the audit log adds to transaction ids.
    pub(crate) event_offset: i64,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db")
            .field("backend", &self.read.get_database_backend())
            .finish_non_exhaustive()
    }
}

/// A write transaction.
pub(crate) struct Tx<'a> {
    inner: DatabaseTransaction,
    _writer: Option<MutexGuard<'a, ()>>,
}

impl Tx<'_> {
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        Ok(self.inner.commit().await?)
    }
}

impl Db {
    pub(crate) async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        let url = &config.url.0;
        let db = if url.starts_with("sqlite:") {
            let full = sqlite(url, "FULL", 1).await?;
            migration::run_sqlite(&full).await?;
            let process = sqlite(url, "NORMAL", 1).await?;
            let read = sqlite(url, "NORMAL", 4).await?;
            Self::assemble(config, read, full, process, Some(Mutex::new(())))
        } else {
            let pool = postgres(config).await?;
            migration::run_postgres(&pool, &config.schema).await?;
            Self::assemble(config, pool.clone(), pool.clone(), pool, None)
        };
        if let Some((theirs, monotonic)) = db.measure_clock().await? {
            db.clock.set(theirs, monotonic);
        }
        Ok(db)
    }

    fn assemble(
        config: &StoreConfig,
        read: DatabaseConnection,
        full: DatabaseConnection,
        process: DatabaseConnection,
        writer: Option<Mutex<()>>,
    ) -> Self {
        Self {
            read,
            full,
            process,
            writer,
            clock: Clock::new(config.time.clone()),
            shards: config.shards.clamp(1, 256),
            lease: i64::try_from(config.lease.as_micros()).unwrap_or(i64::MAX),
            splits: config.splits.max(1),
            meta: MetaCache::default(),
            known_limits: KnownLimits::default(),
            event_offset: 0,
        }
    }

    /// Takes the number of shards that the database was set up with.
    pub(crate) fn with_shards(mut self, shards: u16) -> Self {
        self.shards = shards;
        self
    }

    /// Microseconds since 1970 by the database's clock. It does not follow a jump of that clock at once.
    pub(crate) fn now(&self) -> Micros {
        match self.is_sqlite() {
            true => self.clock.now_by_wall(),
            false => self.clock.now(),
        }
    }

    /// Compares the database's clock with ours. On SQLite both are the same.
    pub(crate) async fn sync_clock(&self) -> Result<(), StoreError> {
        if let Some((theirs, monotonic)) = self.measure_clock().await? {
            self.clock.compare(theirs, monotonic);
        }
        Ok(())
    }

    /// What the database's clock says at a moment of the monotonic clock; `None` where the answer took too long to tell.
    async fn measure_clock(&self) -> Result<Option<(Micros, Duration)>, StoreError> {
        if self.is_sqlite() {
            return Ok(None);
        }
        let before = self.clock.monotonic();
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS value";
        let theirs = self.one_int(&self.read, sql, []).await?;
        let took = self.clock.monotonic().saturating_sub(before);
        let told = theirs.filter(|_| took <= SLOW_CLOCK);
        Ok(told.map(|theirs| (theirs, before + took / 2)))
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.writer.is_some()
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.read.get_database_backend()
    }

    /// Begins a write transaction: IMMEDIATE on SQLite, READ COMMITTED on PostgreSQL.
    pub(crate) async fn write(&self, durability: Durability) -> Result<Tx<'_>, StoreError> {
        let pool = match durability {
            Durability::Full => &self.full,
            Durability::Process => &self.process,
        };
        let Some(writer) = &self.writer else {
            return Ok(Tx {
                inner: pool.begin().await?,
                _writer: None,
            });
        };
        let guard = writer.lock().await;
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(Tx {
            inner: pool.begin_with_options(options).await?,
            _writer: Some(guard),
        })
    }

    pub(crate) fn reader(&self) -> &DatabaseConnection {
        &self.read
    }

    /// ` FOR UPDATE` where the dialect has row locks.
    pub(crate) fn for_update(&self) -> &'static str {
        if self.is_sqlite() { "" } else { " FOR UPDATE" }
    }

    /// A text column that is compared by its bytes, whatever the collation of the database.
    pub(crate) fn bytewise(&self, column: &str) -> String {
        let collation = if self.is_sqlite() { "BINARY" } else { "\"C\"" };
        format!("{column} COLLATE {collation}")
    }

    /// ` FOR UPDATE SKIP LOCKED` where the dialect has row locks.
    pub(crate) fn skip_locked(&self) -> &'static str {
        if self.is_sqlite() {
            ""
        } else {
            " FOR UPDATE SKIP LOCKED"
        }
    }

    pub(crate) fn statement<V: IntoIterator<Item = Value>>(
        &self,
        sql: impl Into<String>,
        values: V,
    ) -> Statement {
        Statement::from_sql_and_values(self.backend(), sql.into(), values)
    }

    pub(crate) async fn all<T: FromQueryResult>(
        &self,
        on: &impl ConnectionTrait,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = on.query_all_raw(self.statement(sql, values)).await?;
        rows.iter()
            .map(|row| Ok(T::from_query_result(row, "")?))
            .collect()
    }

    pub(crate) async fn one<T: FromQueryResult>(
        &self,
        on: &impl ConnectionTrait,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<T>, StoreError> {
        let row = on.query_one_raw(self.statement(sql, values)).await?;
        row.map(|row| Ok(T::from_query_result(&row, "")?))
            .transpose()
    }

    /// The column `value` of the first row.
    pub(crate) async fn one_int(
        &self,
        on: &impl ConnectionTrait,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<i64>, StoreError> {
        let row = on.query_one_raw(self.statement(sql, values)).await?;
        row.map(|row| Ok(row.try_get::<i64>("", "value")?))
            .transpose()
    }

    /// Runs a statement; the number of rows it changed.
    pub(crate) async fn run(
        &self,
        on: &impl ConnectionTrait,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, StoreError> {
        Ok(on
            .execute_raw(self.statement(sql, values))
            .await?
            .rows_affected())
    }

    /// Runs a statement in a transaction of its own, without the round trips that begin and end one.
    pub(crate) async fn run_alone(
        &self,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, StoreError> {
        if !self.is_sqlite() {
            return self.run(&self.process, sql, values).await;
        }
        let tx = self.write(Durability::Process).await?;
        let changed = self.run(&*tx, sql, values).await?;
        tx.commit().await?;
        Ok(changed)
    }

    pub(crate) async fn close(&self) {
        for pool in [&self.read, &self.full, &self.process] {
            if let Err(error) = pool.close_by_ref().await {
                tracing::warn!(%error, "could not close the database");
            }
        }
    }
}

impl std::ops::Deref for Tx<'_> {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.inner
    }
}

async fn sqlite(
    url: &str,
    synchronous: &'static str,
    connections: u32,
) -> Result<DatabaseConnection, StoreError> {
    let mut options = ConnectOptions::new(url.to_owned());
    options
        .max_connections(connections)
        .min_connections(1)
        .sqlx_logging(false)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(30))
        .map_sqlx_sqlite_opts(move |options| {
            options
                .create_if_missing(true)
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", synchronous)
                .pragma("temp_store", "MEMORY")
                .pragma("wal_autocheckpoint", "4000")
                .pragma("cache_size", "-32000")
                .busy_timeout(Duration::from_secs(10))
                .statement_cache_capacity(256)
        })
        .map_sqlx_sqlite_pool_opts(|options| options.idle_timeout(None).max_lifetime(None));
    Ok(Database::connect(options).await?)
}

async fn postgres(config: &StoreConfig) -> Result<DatabaseConnection, StoreError> {
    let valid = !config.schema.is_empty()
        && config
            .schema
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !valid {
        return Err(StoreError::Broken(
            "the schema's name must be letters, digits and _".to_owned(),
        ));
    }
    let mut options = ConnectOptions::new(config.url.0.clone());
    options
        .max_connections(config.connections.max(4))
        .min_connections(1)
        .sqlx_logging(false)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(10))
        .set_schema_search_path(config.schema.clone())
        .set_application_name("headway")
        .map_sqlx_postgres_opts(|options| {
            options.statement_cache_capacity(256).options([
                ("idle_in_transaction_session_timeout", "30s"),
                ("lock_timeout", "10s"),
                ("jit", "off"),
                // A plan that was made while a table was empty reads all of it, and is kept when the table has grown.
                ("enable_seqscan", "off"),
            ])
        });
    Ok(Database::connect(options).await?)
}
