//! Which versions may use these tables.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// One row: the level of the oldest version that may use the tables; see [`crate::db::compat`].
pub(super) struct Compatibility;

impl MigrationName for Compatibility {
    fn name(&self) -> &str {
        "m2026_11_28_000013_compatibility"
    }
}

#[async_trait]
impl MigrationTrait for Compatibility {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in [
            "CREATE TABLE schema_compat (
                one BIGINT PRIMARY KEY,
                oldest_level BIGINT NOT NULL,
                oldest_version TEXT NOT NULL
            )",
            "INSERT INTO schema_compat (one, oldest_level, oldest_version) VALUES (1, 0, '0.1.0')",
        ] {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared("DROP TABLE schema_compat").await?;
        Ok(())
    }
}
