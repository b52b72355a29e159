//! Connections, transactions and the database's clock, in both dialects.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use headway_domain::Micros;
use sea_orm::{
    DatabaseConnection, DbBackend, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use tokio::sync::Mutex;

use crate::{
    db::{
        clock::Clock,
        config::StoreConfig,
        migration,
        pools::{self, Pools},
        tx::{Durability, Tx},
    },
    error::StoreError,
    ground::{limited::KnownLimits, meta_cache::MetaCache, miscounts::Miscounts},
};

/// An answer that takes longer does not tell the time.
const SLOW_CLOCK: Duration = Duration::from_secs(1);

pub(crate) struct Db {
    pub(crate) pools: Pools,
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
    pub(crate) statements: AtomicU64,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db")
            .field("backend", &self.pools.read.get_database_backend())
            .finish_non_exhaustive()
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

    /// Microseconds since 1970 by the database's clock. It does not follow a jump of that clock at
    /// once.
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

    /// What the database's clock says at a moment of the monotonic clock; `None` where the answer
    /// took too long to tell.
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

    /// For short reads that work waits for, and of single jobs, which answer changes. On PostgreSQL
    /// they use the connections of writes, so that slow reads of clients do not hold work up.
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

    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    pub(crate) async fn close(&self) {
        for pool in [&self.pools.read, &self.pools.full, &self.pools.process] {
            if let Err(error) = pool.close_by_ref().await {
                tracing::warn!(%error, "cannot close the database");
            }
        }
    }
}
