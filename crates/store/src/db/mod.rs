//! Connections, transactions and the database's clock, in both dialects.

pub(crate) mod bulk;
pub(crate) mod clock;
mod compat;
pub(crate) mod keys;
mod migration;
pub(crate) mod pools;

pub(crate) use migration::LOCK;

use std::{
    fmt,
    panic::Location,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use headway_domain::Micros;
use pools::{Freshness, Pools};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, FromQueryResult,
    QueryResult, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value,
};
use tokio::sync::{Mutex, MutexGuard};

use self::clock::{Clock, SystemClock, TimeSource};
use crate::{
    error::StoreError,
    ops::{limits::KnownLimits, recount::Miscounts},
    rows::meta::MetaCache,
};

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
    /// Connections at most, on PostgreSQL; a third of them only read. At least 6 are used.
    pub connections: u32,
    /// How long PostgreSQL may take for one statement. SQLite has no such limit.
    pub statement_timeout: Duration,
    /// How long a transaction on SQLite waits while another process writes; at most some seconds.
    pub lock_timeout: Duration,
    /// Logical shards, set in the database at its first start, 1 to 256.
    pub shards: u16,
    /// How long a lease of a long-running item lasts.
    pub lease: Duration,
    /// Pages of one job that batch workers may split at once.
    pub splits: u64,
    /// The clocks of this machine.
    pub time: Arc<dyn TimeSource>,
    /// Pipes of all partitions together at most.
    pub pipes: u32,
}

impl StoreConfig {
    /// The defaults with this address.
    pub fn new(url: StoreUrl) -> Self {
        Self {
            url,
            schema: "headway".to_owned(),
            connections: 16,
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
            shards: 16,
            lease: Duration::from_secs(300),
            splits: 16,
            time: Arc::new(SystemClock::default()),
            pipes: 1000,
        }
    }

    /// Connections that only read.
    fn readers(&self) -> u32 {
        (self.connections / 3).max(2)
    }
}

/// An answer that takes longer does not tell the time.
const SLOW_CLOCK: Duration = Duration::from_secs(1);
/// Where nothing was committed for so long, a probe changes a row.
const PROBE_AFTER: Duration = Duration::from_secs(5);

/// How much a commit promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It survives a power loss: what a client was told.
    Full,
    /// On SQLite it survives the process but perhaps not the machine: what messages can make again.
    Process,
}

pub(crate) struct Db {
    pools: Pools,
    /// SQLite has one writer: waiting here is fair, waiting in SQLite is polling.
    writer: Option<Mutex<()>>,
    pub(crate) clock: Clock,
    pub(crate) shards: u16,
    pub(crate) lease: Micros,
    pub(crate) splits: u64,
    pub(crate) pipes: u32,
    pub(crate) meta: MetaCache,
    pub(crate) known_limits: KnownLimits,
    pub(crate) miscounts: Miscounts,
    /// What the audit log adds to transaction ids.
    pub(crate) event_offset: i64,
    /// Statements sent, but for those that begin and end transactions.
    statements: AtomicU64,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db")
            .field("backend", &self.pools.read.get_database_backend())
            .finish_non_exhaustive()
    }
}

/// The target of the trace events that say where in the code a transaction ended. Tests use them to lose the answer of each commit.
const COMMITS: &str = "headway_store::commits";

fn trace_commit(place: &Location<'_>, committed: bool) {
    tracing::trace!(target: COMMITS, %place, committed, "ended a transaction");
}

/// A write transaction.
pub(crate) struct Tx<'a> {
    inner: DatabaseTransaction,
    fresh: &'a Freshness,
    _writer: Option<MutexGuard<'a, ()>>,
}

impl Tx<'_> {
    /// Commits. After an error the transaction is rolled back, or its connection is closed; whether the commit was applied
    /// is not known if the connection was lost.
    #[track_caller]
    pub(crate) fn commit(self) -> impl Future<Output = Result<(), StoreError>> {
        self.commit_at(Location::caller())
    }

    async fn commit_at(self, place: &'static Location<'static>) -> Result<(), StoreError> {
        let fresh = self.fresh;
        let committed = self.inner.commit().await;
        trace_commit(place, committed.is_ok());
        committed.map_err(|error| fresh.note(error))?;
        fresh.committed();
        Ok(())
    }

    /// Commits what worked, or rolls back at once what failed. A transaction that is dropped keeps its locks until its
    /// connection is looked at again, and the next try, which skips locked rows, would not find them.
    #[track_caller]
    pub(crate) fn end<T>(
        self,
        worked: Result<T, StoreError>,
    ) -> impl Future<Output = Result<T, StoreError>> {
        self.end_at(Location::caller(), worked)
    }

    async fn end_at<T>(
        self,
        place: &'static Location<'static>,
        worked: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match worked {
            Ok(done) => self.commit_at(place).await.map(|()| done),
            Err(error) => {
                if let Err(failure) = self.inner.rollback().await {
                    self.fresh.note(failure);
                }
                Err(error)
            }
        }
    }
}

impl Db {
    pub(crate) async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        let url = &config.url.0;
        let db = if url.starts_with("sqlite:") {
            let pools = pools::sqlite(url, config.lock_timeout).await?;
            migration::run_sqlite(&pools.full).await?;
            Self::assemble(config, pools, Some(Mutex::new(())))
        } else {
            let patient = pools::postgres_patient(config).await?;
            migration::run_postgres(&patient, &config.schema).await?;
            patient.close().await?;
            Self::assemble(config, pools::postgres(config).await?, None)
        };
        if let Some((theirs, monotonic)) = db.measure_clock().await? {
            db.clock.set(theirs, monotonic);
        }
        Ok(db)
    }

    fn assemble(config: &StoreConfig, pools: Pools, writer: Option<Mutex<()>>) -> Self {
        Self {
            pools,
            writer,
            clock: Clock::new(config.time.clone()),
            shards: config.shards.clamp(1, 256),
            lease: i64::try_from(config.lease.as_micros()).unwrap_or(i64::MAX),
            splits: config.splits.max(1),
            pipes: config.pipes,
            meta: MetaCache::default(),
            known_limits: KnownLimits::default(),
            miscounts: Miscounts::default(),
            event_offset: 0,
            statements: AtomicU64::new(0),
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
        let theirs = self.one_int(self.work_reader(), sql, []).await?;
        let took = self.clock.monotonic().saturating_sub(before);
        let told = theirs.filter(|_| took <= SLOW_CLOCK);
        Ok(told.map(|theirs| (theirs, before + took / 2)))
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.writer.is_some()
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.pools.read.get_database_backend()
    }

    /// Begins a write transaction: IMMEDIATE on SQLite, READ COMMITTED on PostgreSQL.
    pub(crate) async fn write(&self, durability: Durability) -> Result<Tx<'_>, StoreError> {
        let pool = match durability {
            Durability::Full => &self.pools.full,
            Durability::Process => &self.pools.process,
        };
        let fresh = &self.pools.fresh;
        let Some(writer) = &self.writer else {
            return Ok(Tx {
                inner: pool.begin().await.map_err(|error| fresh.note(error))?,
                fresh,
                _writer: None,
            });
        };
        let guard = writer.lock().await;
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let begun = pool.begin_with_options(options).await;
        Ok(Tx {
            inner: begun.map_err(|error| fresh.note(error))?,
            fresh,
            _writer: Some(guard),
        })
    }

    /// For short reads that work waits for, and of single jobs, which answer changes. On PostgreSQL they use the connections of writes, so that slow reads of clients do
    /// not hold work up.
    pub(crate) fn work_reader(&self) -> &DatabaseConnection {
        match self.is_sqlite() {
            true => &self.pools.read,
            false => &self.pools.process,
        }
    }

    /// For what clients list.
    pub(crate) fn reader(&self) -> &DatabaseConnection {
        &self.pools.read
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

    /// A text column that is ordered by its bytes, for a comparison with a column in the database's own order. Without it
    /// PostgreSQL cannot use the other column's index.
    pub(crate) fn in_default_order(&self, column: &str) -> String {
        match self.is_sqlite() {
            true => column.to_owned(),
            false => format!("{column} COLLATE \"default\""),
        }
    }

    /// ` FOR UPDATE SKIP LOCKED` where the dialect has row locks.
    pub(crate) fn skip_locked(&self) -> &'static str {
        if self.is_sqlite() {
            ""
        } else {
            " FOR UPDATE SKIP LOCKED"
        }
    }

    /// A statement that is about to be sent, which is counted here.
    fn statement<V: IntoIterator<Item = Value>>(
        &self,
        sql: impl Into<String>,
        values: V,
    ) -> Statement {
        self.statements.fetch_add(1, Ordering::Relaxed);
        Statement::from_sql_and_values(self.backend(), sql.into(), values)
    }

    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// The rows of a statement, for callers that read them themselves.
    pub(crate) async fn rows(
        &self,
        on: &impl ConnectionTrait,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, StoreError> {
        let rows = on.query_all_raw(self.statement(sql, values)).await;
        rows.map_err(|error| self.pools.fresh.note(error))
    }

    /// The first row of a statement.
    pub(crate) async fn row(
        &self,
        on: &impl ConnectionTrait,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<QueryResult>, StoreError> {
        let row = on.query_one_raw(self.statement(sql, values)).await;
        row.map_err(|error| self.pools.fresh.note(error))
    }

    pub(crate) async fn all<T: FromQueryResult>(
        &self,
        on: &impl ConnectionTrait,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.rows(on, sql, values).await?;
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
        let row = self.row(on, sql, values).await?;
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
        let row = self.row(on, sql, values).await?;
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
        let done = on.execute_raw(self.statement(sql, values)).await;
        let done = done.map_err(|error| self.pools.fresh.note(error))?;
        Ok(done.rows_affected())
    }

    /// Whether the database can be read, and takes changes: asks by a small change where nothing else was committed lately.
    pub(crate) async fn probe(&self) -> Result<(), StoreError> {
        if self.pools.fresh.committed_within(PROBE_AFTER) {
            let sql = "SELECT count(*) AS value FROM setting";
            self.one_int(self.reader(), sql, []).await?;
            return Ok(());
        }
        let sql = "INSERT INTO setting (name, value) VALUES ('probe', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let tx = self.write(Durability::Process).await?;
        self.run(&*tx, sql, [self.now().to_string().into()]).await?;
        tx.commit().await
    }

    /// Runs a statement in a transaction of its own, without the round trips that begin and end one.
    #[track_caller]
    pub(crate) fn run_alone(
        &self,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> impl Future<Output = Result<u64, StoreError>> {
        let values = values.into_iter().collect();
        self.run_alone_at(Location::caller(), sql.into(), values)
    }

    async fn run_alone_at(
        &self,
        place: &'static Location<'static>,
        sql: String,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        if !self.is_sqlite() {
            let changed = self.run(&self.pools.process, sql, values).await;
            trace_commit(place, changed.is_ok());
            return changed;
        }
        let tx = self.write(Durability::Process).await?;
        let changed = self.run(&*tx, sql, values).await?;
        tx.commit_at(place).await?;
        Ok(changed)
    }

    /// The rows of a changing statement in a transaction of its own. For PostgreSQL.
    #[track_caller]
    pub(crate) fn rows_alone(
        &self,
        sql: String,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Vec<QueryResult>, StoreError>> {
        let place = Location::caller();
        async move {
            let rows = self.rows(&self.pools.full, sql, values).await;
            trace_commit(place, rows.is_ok());
            rows
        }
    }

    pub(crate) async fn close(&self) {
        for pool in [&self.pools.read, &self.pools.full, &self.pools.process] {
            if let Err(error) = pool.close_by_ref().await {
                tracing::warn!(%error, "cannot close the database");
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
