//! Ended jobs that have not settled are found without reading those that run.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// An index of the few jobs that ended while items of theirs were out.
pub(super) struct Settling;

impl MigrationName for Settling {
    fn name(&self) -> &str {
        "m2026_11_28_000015_settling"
    }
}

#[async_trait]
impl MigrationTrait for Settling {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "CREATE INDEX job_progress_settling ON job_progress (job_key) WHERE live = 1 AND ended > 0";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "DROP INDEX job_progress_settling";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}
