//! Why pages are to be split again.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// A row for each page whose split failed in a passing way, until it is split or fails for good.
pub(super) struct SplitRetry;

impl MigrationName for SplitRetry {
    fn name(&self) -> &str {
        "m2026_11_28_000014_split_retry"
    }
}

#[async_trait]
impl MigrationTrait for SplitRetry {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = "CREATE TABLE split_retry (
            job_key BIGINT NOT NULL,
            page BIGINT NOT NULL,
            tries BIGINT NOT NULL,
            due BIGINT NOT NULL,
            message TEXT NOT NULL,
            PRIMARY KEY (job_key, page)
        )";
        manager.get_connection().execute_unprepared(table).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let drop = "DROP TABLE split_retry";
        manager.get_connection().execute_unprepared(drop).await?;
        Ok(())
    }
}
