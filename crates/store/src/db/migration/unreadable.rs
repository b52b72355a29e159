//! Rows that a process could not read.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// Which rows sweeps leave alone, and until when.
pub(super) struct Unreadable;

impl MigrationName for Unreadable {
    fn name(&self) -> &str {
        "m2026_11_28_000012_unreadable"
    }
}

#[async_trait]
impl MigrationTrait for Unreadable {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared(
            "CREATE TABLE unreadable (
                source TEXT NOT NULL,
                row_key TEXT NOT NULL,
                until BIGINT NOT NULL,
                tries BIGINT NOT NULL,
                reason TEXT NOT NULL,
                PRIMARY KEY (source, row_key)
            )",
        )
        .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared("DROP TABLE unreadable").await?;
        Ok(())
    }
}
