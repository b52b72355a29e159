//! Events of the audit log that are not about a job.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// What changed, where that is no job. A process of the release before reads such an event as an
/// UPDATED one.
pub(super) struct Changes;

impl MigrationName for Changes {
    fn name(&self) -> &str {
        "m2026_11_28_000011_changes"
    }
}

#[async_trait]
impl MigrationTrait for Changes {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in [
            "ALTER TABLE event ADD COLUMN change BIGINT NOT NULL DEFAULT 0",
            "ALTER TABLE event ADD COLUMN subject TEXT NOT NULL DEFAULT ''",
        ] {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "the audit log would lose what its events are about".to_owned(),
        ))
    }
}
