//! What jobs are found by.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// Display names as a column, with an index.
pub(super) struct Finding;

impl MigrationName for Finding {
    fn name(&self) -> &str {
        "m2026_11_25_000005_finding"
    }
}

#[async_trait]
impl MigrationTrait for Finding {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let name = match db.get_database_backend() {
            DbBackend::Postgres => "spec::json->>'display_name'",
            _ => "json_extract(spec, '$.display_name')",
        };
        for statement in STATEMENTS {
            db.execute_unprepared(&statement.replace("NAME", name))
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in [
            "DROP INDEX job_display_name",
            "ALTER TABLE job DROP COLUMN display_name",
        ] {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

const STATEMENTS: &[&str] = &[
    "ALTER TABLE job ADD COLUMN display_name TEXT NOT NULL DEFAULT ''",
    "UPDATE job SET display_name = COALESCE(NAME, '') WHERE COALESCE(NAME, '') <> ''",
    "CREATE INDEX job_display_name ON job (partition_id, display_name, job_key)",
];
