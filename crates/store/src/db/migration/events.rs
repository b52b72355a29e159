//! The audit log, and what counts and watches of a partition read.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// Events, how far they were removed, and each job's partition and state beside its counters.
pub(super) struct Events;

impl MigrationName for Events {
    fn name(&self) -> &str {
        "m2026_11_25_000001_events"
    }
}

#[async_trait]
impl MigrationTrait for Events {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let postgres = db.get_database_backend() == DbBackend::Postgres;
        let (bytes, seq, tx) = match postgres {
            true => (
                "BYTEA",
                "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
                "BIGINT NOT NULL DEFAULT pg_current_xact_id()::text::bigint",
            ),
            false => (
                "BLOB",
                "INTEGER PRIMARY KEY AUTOINCREMENT",
                "BIGINT NOT NULL DEFAULT 0",
            ),
        };
        for statement in STATEMENTS {
            let statement = statement.replace("BYTES", bytes);
            let statement = statement.replace("SEQ", seq).replace("TX", tx);
            db.execute_unprepared(&statement).await?;
        }
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "events cannot be kept without their table".to_owned(),
        ))
    }
}

const STATEMENTS: &[&str] = &[
    "CREATE TABLE event (
        seq SEQ,
        tx TX,
        uid BYTES NOT NULL,
        partition_id TEXT NOT NULL,
        job_id TEXT NOT NULL,
        kind BIGINT NOT NULL,
        state BIGINT NOT NULL,
        revision BIGINT NOT NULL,
        run BIGINT NOT NULL,
        actor TEXT NOT NULL,
        correlation TEXT NOT NULL,
        message TEXT NOT NULL,
        batch BIGINT NOT NULL,
        items BIGINT NOT NULL,
        recorded BIGINT NOT NULL
    )",
    "CREATE INDEX event_partition ON event (partition_id, tx, seq)",
    "CREATE INDEX event_job ON event (partition_id, job_id, tx, seq)",
    "CREATE TABLE event_floor (
        one BIGINT PRIMARY KEY,
        tx BIGINT NOT NULL,
        seq BIGINT NOT NULL
    )",
    "INSERT INTO event_floor (one, tx, seq) VALUES (1, 0, 0)",
    "ALTER TABLE batch ADD COLUMN items BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE job_progress ADD COLUMN partition_id TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE job_progress ADD COLUMN state BIGINT NOT NULL DEFAULT 0",
    "UPDATE job_progress SET
        partition_id = (SELECT j.partition_id FROM job j WHERE j.job_key = job_progress.job_key),
        state = CASE
            WHEN phase = 1 AND paused = 0 THEN 1
            WHEN phase = 2 AND paused = 0 THEN 2
            WHEN phase IN (1, 2) THEN 3
            WHEN phase = 3 THEN 4
            WHEN phase = 4 THEN 5
            ELSE 6
        END",
    "CREATE INDEX job_progress_state ON job_progress (partition_id, state, job_key DESC)",
    "CREATE INDEX job_progress_open ON job_progress (partition_id, job_key) WHERE live = 1",
];
