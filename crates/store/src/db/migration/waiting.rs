//! What jobs wait for: prerequisites, start times and deadlines.

use sea_orm::{ConnectionTrait, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// Prerequisites, release tasks, and how deleted jobs ended.
pub(super) struct Waiting;

impl MigrationName for Waiting {
    fn name(&self) -> &str {
        "m2026_11_25_000003_waiting"
    }
}

#[async_trait]
impl MigrationTrait for Waiting {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in STATEMENTS {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "jobs that wait would start without what they wait for".to_owned(),
        ))
    }
}

const STATEMENTS: &[&str] = &[
    "ALTER TABLE job_progress ADD COLUMN waits BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE job_progress ADD COLUMN start_due BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE job_progress ADD COLUMN deadline BIGINT NOT NULL DEFAULT 0",
    // Both change when a job starts or ends, and not while it runs.
    "CREATE INDEX job_progress_start ON job_progress (start_due) WHERE start_due > 0",
    "CREATE INDEX job_progress_deadline ON job_progress (deadline) WHERE deadline > 0",
    "CREATE TABLE prerequisite (
        job_key BIGINT NOT NULL,
        number BIGINT NOT NULL,
        partition_id TEXT NOT NULL,
        needed TEXT NOT NULL,
        optional BIGINT NOT NULL,
        policy BIGINT NOT NULL,
        state BIGINT NOT NULL,
        PRIMARY KEY (job_key, number)
    )",
    "CREATE INDEX prerequisite_open ON prerequisite (partition_id, needed, job_key) WHERE state = 0",
    "CREATE INDEX prerequisite_broken ON prerequisite (partition_id, needed, job_key) WHERE state = 2",
    "CREATE TABLE release_task (
        task_id BIGINT PRIMARY KEY,
        kind BIGINT NOT NULL,
        job_key BIGINT NOT NULL,
        partition_id TEXT NOT NULL,
        job_id TEXT NOT NULL,
        after_key BIGINT NOT NULL,
        created BIGINT NOT NULL
    )",
    "CREATE INDEX release_task_created ON release_task (created, task_id)",
    "CREATE TABLE tombstone (
        partition_id TEXT NOT NULL,
        job_id TEXT NOT NULL,
        state BIGINT NOT NULL,
        root TEXT NOT NULL,
        cause TEXT NOT NULL,
        deleted BIGINT NOT NULL,
        PRIMARY KEY (partition_id, job_id)
    )",
    "CREATE INDEX tombstone_deleted ON tombstone (deleted)",
];
