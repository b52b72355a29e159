//! The first tables: all that a batch job needs from its submission to its end.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait::async_trait};

/// Jobs, batches, pages, items, failures, the outbox, shards and pipes.
pub(super) struct Kernel;

impl MigrationName for Kernel {
    fn name(&self) -> &str {
        "m2026_11_23_000001_kernel"
    }
}

#[async_trait]
impl MigrationTrait for Kernel {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        let postgres = db.get_database_backend() == DbBackend::Postgres;
        let bytes = if postgres { "BYTEA" } else { "BLOB" };
        for statement in TABLES {
            db.execute_unprepared(&statement.replace("BYTES", bytes))
                .await?;
        }
        if postgres {
            for statement in POSTGRES {
                db.execute_unprepared(statement).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "there is nothing below the first migration".to_owned(),
        ))
    }
}

const TABLES: &[&str] = &[
    "CREATE TABLE job (
        job_key BIGINT PRIMARY KEY,
        uid BYTES NOT NULL UNIQUE,
        partition_id TEXT NOT NULL,
        job_id TEXT NOT NULL,
        shard BIGINT NOT NULL,
        request_id TEXT NOT NULL,
        hash BYTES NOT NULL,
        spec TEXT NOT NULL,
        body BYTES NOT NULL,
        creator TEXT NOT NULL,
        created BIGINT NOT NULL,
        items_per_message BIGINT NOT NULL,
        UNIQUE (partition_id, job_id)
    )",
    "CREATE UNIQUE INDEX job_request ON job (partition_id, request_id) WHERE request_id <> ''",
    "CREATE INDEX job_newest ON job (partition_id, job_key DESC)",
    "CREATE TABLE job_progress (
        job_key BIGINT PRIMARY KEY,
        shard BIGINT NOT NULL,
        pipe TEXT NOT NULL,
        phase BIGINT NOT NULL,
        paused BIGINT NOT NULL,
        run BIGINT NOT NULL,
        control BIGINT NOT NULL,
        revision BIGINT NOT NULL,
        allowance BIGINT NOT NULL,
        known BIGINT NOT NULL,
        done BIGINT NOT NULL,
        failed BIGINT NOT NULL,
        discarded BIGINT NOT NULL,
        unreleased BIGINT NOT NULL,
        parked BIGINT NOT NULL,
        delayed BIGINT NOT NULL,
        item_rows BIGINT NOT NULL,
        fractions BIGINT NOT NULL,
        unsplit BIGINT NOT NULL,
        splitting BIGINT NOT NULL,
        open_pages BIGINT NOT NULL,
        retained BIGINT NOT NULL,
        split_failed BIGINT NOT NULL,
        reopen BIGINT NOT NULL,
        declared BIGINT NOT NULL,
        undeclared BIGINT NOT NULL,
        undeclared_pages BIGINT NOT NULL,
        undeclared_unsplit BIGINT NOT NULL,
        failures BIGINT NOT NULL,
        percent_mark BIGINT NOT NULL,
        rate_sampled BIGINT NOT NULL,
        rate_ended BIGINT NOT NULL,
        rate DOUBLE PRECISION NOT NULL,
        next_page BIGINT NOT NULL,
        next_batch BIGINT NOT NULL,
        started BIGINT NOT NULL,
        updated BIGINT NOT NULL,
        ended BIGINT NOT NULL,
        settled BIGINT NOT NULL,
        hungry BIGINT NOT NULL,
        live BIGINT NOT NULL
    )",
    "CREATE INDEX job_progress_hungry ON job_progress (pipe, job_key) WHERE hungry = 1",
    "CREATE INDEX job_progress_live ON job_progress (shard, job_key) WHERE live = 1",
    "CREATE TABLE label (
        job_key BIGINT NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        partition_id TEXT NOT NULL,
        PRIMARY KEY (job_key, name)
    )",
    "CREATE INDEX label_value ON label (partition_id, name, value, job_key DESC)",
    "CREATE TABLE batch (
        job_key BIGINT NOT NULL,
        number BIGINT NOT NULL,
        parent BIGINT NOT NULL,
        depth BIGINT NOT NULL,
        declared BIGINT NOT NULL,
        exhausted BIGINT NOT NULL,
        open_pages BIGINT NOT NULL,
        kept_pages BIGINT NOT NULL,
        children BIGINT NOT NULL,
        done BIGINT NOT NULL,
        definition BYTES NOT NULL,
        PRIMARY KEY (job_key, number)
    )",
    "CREATE TABLE page (
        job_key BIGINT NOT NULL,
        number BIGINT NOT NULL,
        batch BIGINT NOT NULL,
        depth BIGINT NOT NULL,
        state BIGINT NOT NULL,
        todo BIGINT NOT NULL,
        count BIGINT NOT NULL,
        released BIGINT NOT NULL,
        sub BYTES NOT NULL,
        done BYTES NOT NULL,
        failed BYTES NOT NULL,
        discarded BYTES NOT NULL,
        parked BYTES NOT NULL,
        run BIGINT NOT NULL,
        attempt BIGINT NOT NULL,
        tries BIGINT NOT NULL,
        due BIGINT NOT NULL,
        declared BIGINT NOT NULL,
        touched BIGINT NOT NULL,
        epoch BIGINT NOT NULL,
        split_cursor BYTES NOT NULL,
        split_limit BIGINT NOT NULL,
        hash BIGINT NOT NULL,
        children BYTES NOT NULL,
        PRIMARY KEY (job_key, number)
    )",
    "CREATE INDEX page_todo ON page (job_key, todo, depth DESC, number)",
    "CREATE INDEX page_run ON page (job_key, run)",
    "CREATE INDEX page_due ON page (due) WHERE due > 0",
    "CREATE TABLE item (
        job_key BIGINT NOT NULL,
        page BIGINT NOT NULL,
        idx BIGINT NOT NULL,
        shard BIGINT NOT NULL,
        attempt BIGINT NOT NULL,
        stage BIGINT NOT NULL,
        failures BIGINT NOT NULL,
        starts BIGINT NOT NULL,
        started BIGINT NOT NULL,
        alone BIGINT NOT NULL,
        due BIGINT NOT NULL,
        lease_session BYTES NOT NULL,
        lease_until BIGINT NOT NULL,
        fraction BIGINT NOT NULL,
        forwarded BIGINT NOT NULL,
        pipe TEXT NOT NULL,
        task_type TEXT NOT NULL,
        payload BYTES NOT NULL,
        content_type TEXT NOT NULL,
        PRIMARY KEY (job_key, page, idx)
    )",
    "CREATE INDEX item_due ON item (shard, due) WHERE due > 0",
    "CREATE INDEX item_lease ON item (shard, lease_until) WHERE lease_until > 0",
    "CREATE INDEX item_session ON item (lease_session) WHERE lease_until > 0",
    "CREATE TABLE failure (
        job_key BIGINT NOT NULL,
        run BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        page BIGINT NOT NULL,
        idx BIGINT NOT NULL,
        code TEXT NOT NULL,
        message TEXT NOT NULL,
        details TEXT NOT NULL,
        attempt BIGINT NOT NULL,
        recorded BIGINT NOT NULL,
        worker TEXT NOT NULL,
        PRIMARY KEY (job_key, run, seq)
    )",
    "CREATE TABLE outbox (
        outbox_id BIGINT PRIMARY KEY,
        uid BYTES NOT NULL,
        kind BIGINT NOT NULL,
        page BIGINT NOT NULL,
        run BIGINT NOT NULL,
        attempt BIGINT NOT NULL,
        indexes BYTES NOT NULL,
        created BIGINT NOT NULL
    )",
    "CREATE INDEX outbox_created ON outbox (created)",
    "CREATE TABLE garbage (
        job_key BIGINT PRIMARY KEY
    )",
    "CREATE TABLE setting (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    )",
    "CREATE TABLE shard_claim (
        shard BIGINT PRIMARY KEY,
        owner BYTES NOT NULL,
        until BIGINT NOT NULL
    )",
    "CREATE TABLE tracker (
        owner BYTES PRIMARY KEY,
        until BIGINT NOT NULL
    )",
    "CREATE TABLE pipe_rate (
        pipe TEXT NOT NULL,
        owner BYTES NOT NULL,
        rate DOUBLE PRECISION NOT NULL,
        updated BIGINT NOT NULL,
        PRIMARY KEY (pipe, owner)
    )",
];

/// Hot rows stay on their page (fillfactor, and no index on columns that change with every report),
/// bitmaps stay in the row, and what a busy job leaves behind is vacuumed early.
const POSTGRES: &[&str] = &[
    "ALTER TABLE job_progress SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE page SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE item SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0)",
    "ALTER TABLE page ALTER COLUMN done SET STORAGE MAIN",
    "ALTER TABLE page ALTER COLUMN failed SET STORAGE MAIN",
    "ALTER TABLE page ALTER COLUMN discarded SET STORAGE MAIN",
    "ALTER TABLE page ALTER COLUMN parked SET STORAGE MAIN",
    "ALTER TABLE page ALTER COLUMN sub SET STORAGE MAIN",
];
