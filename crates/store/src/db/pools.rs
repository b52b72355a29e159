//! The pools of connections to either database, and which of their connections may be used again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DbErr,
    sqlx::{Connection, pool::PoolOptions, sqlite::SqliteAutoVacuum},
};

use super::config::StoreConfig;
use crate::error::{StoreError, closes_connections};

/// SQLite connections for reads.
const SQLITE_READERS: u32 = 4;

/// Decides which pooled connections may be used again. After an error that a new connection may not
/// have (the server became a standby, a prepared statement is gone, the file was replaced), every
/// connection that was made before the error is closed instead of being used again. The next commit
/// closes once more every connection that was made before it: the pool may have made some while the
/// database was read-only, and their sessions stay read-only. Clones share one state.
#[derive(Debug, Clone)]
pub(crate) struct Freshness {
    begun: Instant,
    /// Connections that were made before this are closed, in microseconds since `begun`.
    oldest: Arc<AtomicU64>,
    /// Whether the last error that closes connections came after the last commit.
    refusing: Arc<AtomicBool>,
    /// When a change was last committed, in microseconds since `begun`; 0 for never.
    changed: Arc<AtomicU64>,
}

impl Freshness {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            oldest: Arc::default(),
            refusing: Arc::default(),
            changed: Arc::default(),
        }
    }

    /// Turns an error of the database into ours, and remembers if connections are to be closed.
    pub(crate) fn note(&self, error: DbErr) -> StoreError {
        if closes_connections(&error) {
            self.close_all();
            self.refusing.store(true, Ordering::Relaxed);
        }
        let error = StoreError::from(error);
        if error.is_passing() {
            // The next probe finds out whether changes can be committed again.
            self.changed.store(0, Ordering::Relaxed);
        }
        error
    }

    /// Has every connection that was made until now closed instead of being used again.
    fn close_all(&self) {
        let now = micros(self.begun.elapsed());
        self.oldest.fetch_max(now, Ordering::Relaxed);
    }

    /// Remembers that a change was committed.
    pub(crate) fn committed(&self) {
        if self.refusing.swap(false, Ordering::Relaxed) {
            self.close_all();
        }
        let now = micros(self.begun.elapsed()).max(1);
        self.changed.fetch_max(now, Ordering::Relaxed);
    }

    /// Whether a change was committed within this time.
    pub(crate) fn committed_within(&self, time: Duration) -> bool {
        let changed = self.changed.load(Ordering::Relaxed);
        let since = micros(self.begun.elapsed()).saturating_sub(changed);
        changed > 0 && since < micros(time)
    }

    /// Whether a connection of this age may be used.
    fn allows(&self, age: Duration) -> bool {
        self.allows_made(self.begun.elapsed().saturating_sub(age))
    }

    /// Whether a connection that was made so long after `begun` may be used.
    fn allows_made(&self, made: Duration) -> bool {
        micros(made) >= self.oldest.load(Ordering::Relaxed)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The pools of a store.
pub(crate) struct Pools {
    /// For what clients list.
    pub(crate) read: DatabaseConnection,
    /// For transactions that survive a power loss.
    pub(crate) full: DatabaseConnection,
    /// For transactions that survive the process, and for the short reads of work.
    pub(crate) process: DatabaseConnection,
    pub(crate) fresh: Freshness,
}

/// One writer a durability and some readers on the same file.
pub(super) async fn sqlite(url: &str, lock_timeout: Duration) -> Result<Pools, StoreError> {
    let fresh = Freshness::new();
    let pool =
        |synchronous, connections| sqlite_pool(url, lock_timeout, synchronous, connections, &fresh);
    Ok(Pools {
        full: pool("FULL", 1).await?,
        process: pool("NORMAL", 1).await?,
        read: pool("NORMAL", SQLITE_READERS).await?,
        fresh: fresh.clone(),
    })
}

async fn sqlite_pool(
    url: &str,
    lock_timeout: Duration,
    synchronous: &'static str,
    connections: u32,
    fresh: &Freshness,
) -> Result<DatabaseConnection, StoreError> {
    let mut options = ConnectOptions::new(url.to_owned());
    let fresh = fresh.clone();
    options
        .max_connections(connections)
        .min_connections(1)
        .sqlx_logging(false)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(30))
        .map_sqlx_sqlite_opts(move |options| {
            options
                .create_if_missing(true)
                // Only a file without tables takes it; an older one takes it with VACUUM.
                .auto_vacuum(SqliteAutoVacuum::Incremental)
                .pragma("journal_mode", "WAL")
                .pragma("synchronous", synchronous)
                .pragma("temp_store", "MEMORY")
                .pragma("wal_autocheckpoint", "4000")
                .pragma("cache_size", "-32000")
                .busy_timeout(lock_timeout)
                .statement_cache_capacity(256)
        })
        .map_sqlx_sqlite_pool_opts(move |options| {
            close_stale(options.idle_timeout(None).max_lifetime(None), &fresh)
        });
    Ok(Database::connect(options).await?)
}

/// Separate connections for writes and for reads: slow reads cannot keep writes waiting.
pub(super) async fn postgres(config: &StoreConfig) -> Result<Pools, StoreError> {
    let fresh = Freshness::new();
    let readers = config.readers();
    let writers = config.connections.saturating_sub(readers).max(MIN_WRITERS);
    let timeout = Some(config.statement_timeout);
    let full = postgres_pool(config, writers, timeout, &fresh).await?;
    Ok(Pools {
        read: postgres_pool(config, readers, timeout, &fresh).await?,
        process: full.clone(),
        full,
        fresh,
    })
}

/// Connections for writes at least: a transaction in each of the lanes in which jobs are created,
/// and some more.
const MIN_WRITERS: u32 = 4;

/// Connections whose statements may take any time, as those of migrations may. To be closed after
/// use.
pub(super) async fn postgres_patient(
    config: &StoreConfig,
) -> Result<DatabaseConnection, StoreError> {
    postgres_pool(config, 2, None, &Freshness::new()).await
}

async fn postgres_pool(
    config: &StoreConfig,
    connections: u32,
    statement_timeout: Option<Duration>,
    fresh: &Freshness,
) -> Result<DatabaseConnection, StoreError> {
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
    let fresh = fresh.clone();
    let timeout = statement_timeout.unwrap_or_default().as_millis();
    let mut options = ConnectOptions::new(config.url.0.clone());
    options
        .max_connections(connections)
        .min_connections(1)
        .sqlx_logging(false)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(10))
        .set_schema_search_path(config.schema.clone())
        .set_application_name("headway")
        .map_sqlx_postgres_opts(move |options| {
            options.statement_cache_capacity(256).options([
                ("idle_in_transaction_session_timeout", "30s"),
                ("lock_timeout", "10s"),
                // 0 is none.
                ("statement_timeout", timeout.to_string().as_str()),
                ("jit", "off"),
                // A plan that was made while a table was empty reads all of it, and is kept when
                // the table has grown.
                ("enable_seqscan", "off"),
                // ANALYZE reads 300 rows for each unit: a fifth of what it reads with PostgreSQL's
                // default of 100. These statistics only need to tell large tables from small ones.
                // Autovacuum makes full ones later.
                ("default_statistics_target", "20"),
            ])
        })
        .map_sqlx_postgres_pool_opts(move |options| close_stale(options, &fresh));
    Ok(Database::connect(options).await?)
}

/// Closes connections that may not be used again: those that are too old, and those that are still
/// in a transaction after its rollback. SQLite rolls back by itself after some errors, and then
/// sqlx takes the next transaction for a nested one, which would keep the write lock forever after
/// its own failure.
fn close_stale<DB: sea_orm::sqlx::Database>(
    options: PoolOptions<DB>,
    fresh: &Freshness,
) -> PoolOptions<DB> {
    let (before, after) = (fresh.clone(), fresh.clone());
    options
        .before_acquire(move |_, meta| {
            let allowed = before.allows(meta.age);
            Box::pin(async move { Ok(allowed) })
        })
        .after_release(move |connection, meta| {
            let allowed = after.allows(meta.age);
            Box::pin(async move {
                if allowed && connection.is_in_transaction() {
                    // The rollback of a dropped transaction is sent with the next request.
                    connection.ping().await?;
                    return Ok(!connection.is_in_transaction());
                }
                Ok(allowed)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits until the clock has gone on by a microsecond, and tells its new time since `begun`.
    fn later(fresh: &Freshness) -> Duration {
        let before = micros(fresh.begun.elapsed());
        loop {
            let now = fresh.begun.elapsed();
            if micros(now) > before {
                return now;
            }
            std::hint::spin_loop();
        }
    }

    #[test]
    fn connections_older_than_an_error_are_not_used_again() {
        let fresh = Freshness::new();
        assert!(fresh.allows(Duration::from_secs(3600)));

        let older = later(&fresh);
        later(&fresh);
        let gone = DbErr::Query(sea_orm::RuntimeErr::SqlxError(Arc::new(
            sea_orm::sqlx::Error::WorkerCrashed,
        )));
        assert!(fresh.note(gone).is_passing());
        let newer = later(&fresh);
        assert!(!fresh.allows_made(older));
        assert!(fresh.allows_made(newer));
        assert!(!fresh.allows(Duration::from_secs(3600)));
        assert!(fresh.allows(Duration::ZERO));

        let busy = DbErr::Conn(sea_orm::RuntimeErr::SqlxError(Arc::new(
            sea_orm::sqlx::Error::PoolTimedOut,
        )));
        later(&fresh);
        fresh.note(busy);
        assert!(fresh.allows_made(newer));

        // The first commit after the error closes what was made meanwhile; others close nothing.
        later(&fresh);
        fresh.committed();
        let newest = later(&fresh);
        assert!(!fresh.allows_made(newer));
        later(&fresh);
        fresh.committed();
        assert!(fresh.allows_made(newest));
    }
}
