//! The handle that every role holds.

use std::sync::Arc;

use headway_domain::Micros;

use crate::{
    db::{Db, StoreConfig},
    error::StoreError,
    jobs::create::lanes::Lanes,
    partitions::defaults::CachedDefaults,
    pipes::cached::{FreePipes, NotedPipes},
};

/// A handle to the database; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) db: Arc<Db>,
    pub(crate) creates: Arc<Lanes>,
    pub(crate) free_pipes: Arc<FreePipes>,
    pub(crate) noted_pipes: Arc<NotedPipes>,
    pub(crate) defaults: Arc<CachedDefaults>,
    deployment: uuid::Uuid,
}

impl Store {
    /// Connects, and makes or completes the tables. Waits for other processes that do the same.
    pub async fn connect(config: &StoreConfig) -> Result<Self, StoreError> {
        let db = Db::connect(config).await?;
        let shards = db.setting("shards", &db.shards.to_string()).await?;
        let shards = shards
            .parse()
            .map_err(|_| StoreError::Broken(format!("setting shards is {shards}, not a number")))?;
        let deployment = uuid::Uuid::new_v4().to_string();
        let deployment = db.setting("deployment", &deployment).await?;
        let deployment = uuid::Uuid::parse_str(&deployment)
            .map_err(|_| StoreError::Broken("setting deployment is no id".to_owned()))?;
        let mut db = db.with_shards(shards);
        db.settle_event_offset().await?;
        db.seed_shards().await?;
        if db.is_sqlite() {
            db.free_shards().await?;
        }
        // SQLite has one writer.
        let (first, more) = if db.is_sqlite() { (1, 0) } else { (2, 2) };
        Ok(Self {
            db: Arc::new(db),
            creates: Arc::new(Lanes::new(first, more)),
            free_pipes: Arc::default(),
            noted_pipes: Arc::default(),
            defaults: Arc::default(),
            deployment,
        })
    }

    /// The id of the deployment, made when its tables were. A database that is restored from a dump
    /// keeps it.
    pub fn deployment(&self) -> uuid::Uuid {
        self.deployment
    }

    /// Whether the database answers, and takes changes.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.db.probe().await
    }

    /// Compares the database's clock with this process's; to be called every few seconds.
    pub async fn sync_clock(&self) -> Result<(), StoreError> {
        self.db.sync_clock().await
    }

    /// How many statements this handle and its clones have sent, but for those that begin and end
    /// transactions.
    pub fn statements(&self) -> u64 {
        self.db.statements()
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.db.close().await;
    }

    /// Microseconds since 1970 by the database's clock.
    pub fn now(&self) -> Micros {
        self.db.now()
    }

    pub(crate) async fn keys(
        &self,
        sql: &str,
        values: impl IntoIterator<Item = sea_orm::Value>,
    ) -> Result<Vec<i64>, StoreError> {
        let rows = self.db.rows(self.db.work_reader(), sql, values).await?;
        rows.iter()
            .map(|row| Ok(row.try_get::<i64>("", "value")?))
            .collect()
    }
}
