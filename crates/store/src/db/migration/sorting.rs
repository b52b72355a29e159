//! Ids and display names are sorted by their bytes, whatever the database's own order of texts is.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// One order of texts on every database; SQLite has it already.
pub(super) struct Sorting;

impl MigrationName for Sorting {
    fn name(&self) -> &str {
        "m2026_11_26_000009_sorting"
    }
}

#[async_trait]
impl MigrationTrait for Sorting {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        collate(manager, "\"C\"").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        collate(manager, "\"default\"").await
    }
}

/// The indexes of these columns are built again by the statement.
async fn collate(manager: &SchemaManager<'_>, collation: &str) -> Result<(), DbErr> {
    let db = manager.get_connection();
    if db.get_database_backend() == DbBackend::Postgres {
        let columns = ["job_id", "display_name"];
        let changes =
            columns.map(|column| format!("ALTER COLUMN {column} TYPE TEXT COLLATE {collation}"));
        let sql = format!("ALTER TABLE job {}", changes.join(", "));
        db.execute_unprepared(&sql).await?;
    }
    Ok(())
}
