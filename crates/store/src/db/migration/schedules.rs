//! Schedules.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// What makes jobs again and again.
pub(super) struct Schedules;

impl MigrationName for Schedules {
    fn name(&self) -> &str {
        "m2026_11_25_000007_schedules"
    }
}

#[async_trait]
impl MigrationTrait for Schedules {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let bytes = match db.get_database_backend() {
            DbBackend::Postgres => "BYTEA",
            _ => "BLOB",
        };
        for statement in STATEMENTS {
            db.execute_unprepared(&statement.replace("BYTES", bytes))
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared("DROP TABLE schedule").await?;
        Ok(())
    }
}

const STATEMENTS: &[&str] = &[
    "CREATE TABLE schedule (
        partition_id TEXT NOT NULL,
        schedule_id TEXT NOT NULL,
        cron TEXT NOT NULL,
        time_zone TEXT NOT NULL,
        overlap BIGINT NOT NULL,
        catch_up BIGINT NOT NULL,
        spec TEXT NOT NULL,
        body BYTES NOT NULL,
        creator TEXT NOT NULL,
        created BIGINT NOT NULL,
        paused BIGINT NOT NULL,
        next_due BIGINT NOT NULL,
        claimed BIGINT NOT NULL,
        last_due BIGINT NOT NULL,
        last_job TEXT NOT NULL,
        made BIGINT NOT NULL,
        skipped BIGINT NOT NULL,
        PRIMARY KEY (partition_id, schedule_id)
    )",
    "CREATE INDEX schedule_due ON schedule (next_due) WHERE next_due > 0",
];
