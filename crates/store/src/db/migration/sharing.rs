//! How pipes are shared, what partitions may have, specs that change, and job types.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// Priorities, weights, limits and quotas, versions of specs, and failures that retries leave
/// alone.
pub(super) struct Sharing;

impl MigrationName for Sharing {
    fn name(&self) -> &str {
        "m2026_11_25_000008_sharing"
    }
}

#[async_trait]
impl MigrationTrait for Sharing {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in STATEMENTS {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "jobs whose specs were changed would be as they were created".to_owned(),
        ))
    }
}

const STATEMENTS: &[&str] = &[
    "ALTER TABLE job ADD COLUMN version BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE job_progress ADD COLUMN priority BIGINT NOT NULL DEFAULT 4",
    // Jobs that were created before are held to their window by themselves.
    "ALTER TABLE job_progress ADD COLUMN max_in_flight BIGINT NOT NULL DEFAULT 1000000",
    "ALTER TABLE job_progress ADD COLUMN spec_version BIGINT NOT NULL DEFAULT 0",
    // -1 where nothing is counted.
    "ALTER TABLE job_progress ADD COLUMN tokens BIGINT NOT NULL DEFAULT -1",
    "ALTER TABLE job_progress ADD COLUMN carried BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE partition_setting ADD COLUMN weight BIGINT NOT NULL DEFAULT 1",
    "ALTER TABLE partition_setting ADD COLUMN open_jobs BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE partition_setting ADD COLUMN in_flight BIGINT NOT NULL DEFAULT 0",
    "CREATE TABLE pipe_limit (
        pipe TEXT PRIMARY KEY,
        in_flight BIGINT NOT NULL,
        per_second DOUBLE PRECISION NOT NULL
    )",
    "CREATE TABLE job_type (
        type_id TEXT PRIMARY KEY,
        version BIGINT NOT NULL,
        definition TEXT NOT NULL,
        author TEXT NOT NULL,
        updated BIGINT NOT NULL
    )",
    "CREATE INDEX job_progress_turn ON job_progress (pipe, partition_id, priority DESC, job_key) WHERE hungry = 1",
    "DROP INDEX job_progress_hungry",
    "CREATE INDEX job_progress_sated ON job_progress (pipe) WHERE live = 1 AND hungry = 0",
];
