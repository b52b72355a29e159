//! Failures that are taken back while their job runs.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// Which items are to be released once more, and how many failures do not stand any more.
pub(super) struct Redriving;

impl MigrationName for Redriving {
    fn name(&self) -> &str {
        "m2026_11_26_000010_redriving"
    }
}

#[async_trait]
impl MigrationTrait for Redriving {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let (bytes, none) = match db.get_database_backend() {
            DbBackend::Postgres => ("BYTEA", "''"),
            _ => ("BLOB", "x''"),
        };
        for statement in [
            &format!("ALTER TABLE page ADD COLUMN again {bytes} NOT NULL DEFAULT {none}"),
            "ALTER TABLE job_progress ADD COLUMN redriven BIGINT NOT NULL DEFAULT 0",
        ] {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "items that are to be released once more would be lost".to_owned(),
        ))
    }
}
