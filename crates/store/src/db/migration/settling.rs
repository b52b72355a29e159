//! Ended jobs that have not settled, or whose items were discarded, are found without reading the
//! others.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// Indexes of the jobs that ended while items of theirs were out, and of those whose items were
/// discarded.
pub(super) struct Settling;

impl MigrationName for Settling {
    fn name(&self) -> &str {
        "m2026_11_28_000015_settling"
    }
}

#[async_trait]
impl MigrationTrait for Settling {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for sql in [
            "CREATE INDEX job_progress_settling ON job_progress (job_key) WHERE live = 1 AND ended > 0",
            "CREATE INDEX job_progress_discarded ON job_progress (job_key) WHERE live = 0 AND ended > 0 AND discarded > 0",
        ] {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for index in ["job_progress_settling", "job_progress_discarded"] {
            let sql = format!("DROP INDEX {index}");
            manager.get_connection().execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}
