//! Pipes are counted over all partitions, with those that results go to.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// Result pipes, and names of pipes whatever their partition.
pub(super) struct Pipes;

impl MigrationName for Pipes {
    fn name(&self) -> &str {
        "m2026_11_28_000016_pipes"
    }
}

#[async_trait]
impl MigrationTrait for Pipes {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in [
            "CREATE TABLE result_pipe (name TEXT PRIMARY KEY)",
            "CREATE INDEX pipe_name ON pipe (name)",
        ] {
            manager
                .get_connection()
                .execute_unprepared(statement)
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in ["DROP INDEX pipe_name", "DROP TABLE result_pipe"] {
            manager
                .get_connection()
                .execute_unprepared(statement)
                .await?;
        }
        Ok(())
    }
}
