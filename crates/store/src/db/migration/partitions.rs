//! What holds for a partition as a whole.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// Suspended partitions, and which jobs are held because of that.
pub(super) struct Partitions;

impl MigrationName for Partitions {
    fn name(&self) -> &str {
        "m2026_11_25_000004_partitions"
    }
}

#[async_trait]
impl MigrationTrait for Partitions {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in STATEMENTS {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "jobs of suspended partitions would go on".to_owned(),
        ))
    }
}

const STATEMENTS: &[&str] = &[
    "CREATE TABLE partition_setting (
        partition_id TEXT PRIMARY KEY,
        suspended BIGINT NOT NULL,
        changed_by TEXT NOT NULL,
        changed BIGINT NOT NULL,
        pending BIGINT NOT NULL
    )",
    "ALTER TABLE job_progress ADD COLUMN suspended BIGINT NOT NULL DEFAULT 0",
    "CREATE INDEX job_progress_suspended ON job_progress (partition_id, job_key) WHERE suspended = 1",
];
