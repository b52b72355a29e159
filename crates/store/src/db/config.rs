//! Where the database is, and how to use it.

use std::{fmt, sync::Arc, time::Duration};

use crate::db::clock::{SystemClock, TimeSource};

/// Where the database is. Never printed: it may hold a password.
#[derive(Clone)]
pub struct StoreUrl(pub(crate) String);

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
    /// The PostgreSQL schema that holds the tables; made if missing. Letters, digits and `_`.
    /// Ignored on SQLite.
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
    pub(crate) fn readers(&self) -> u32 {
        (self.connections / 3).max(2)
    }
}
