//! When jobs that are over are deleted.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// When each job expires, and what partitions say where jobs say nothing.
pub(super) struct Retention;

impl MigrationName for Retention {
    fn name(&self) -> &str {
        "m2026_11_25_000006_retention"
    }
}

#[async_trait]
impl MigrationTrait for Retention {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in [
            "ALTER TABLE job_progress ADD COLUMN expires BIGINT NOT NULL DEFAULT 0",
            "CREATE INDEX job_progress_expires ON job_progress (expires) WHERE expires > 0",
            "ALTER TABLE partition_setting ADD COLUMN retention TEXT NOT NULL DEFAULT '{}'",
        ] {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in [
            "DROP INDEX job_progress_expires",
            "ALTER TABLE job_progress DROP COLUMN expires",
            "ALTER TABLE partition_setting DROP COLUMN retention",
        ] {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
