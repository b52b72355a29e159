//! The tree of batches as people look at it, the history of progress, and the pipes that partitions
//! have used.

use headway_domain::batches::Bitmap;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Statement};
use sea_orm_migration::{
    MigrationName, MigrationTrait, SchemaManager, SchemaManagerConnection, async_trait::async_trait,
};

/// Pages counted in one round.
const CHUNK: i64 = 1000;

/// Batches that are done are kept, pages say how many children ended how, samples and pipes have
/// tables.
pub(super) struct Tree;

impl MigrationName for Tree {
    fn name(&self) -> &str {
        "m2026_11_25_000002_tree"
    }
}

#[async_trait]
impl MigrationTrait for Tree {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in STATEMENTS {
            db.execute_unprepared(statement).await?;
        }
        count_pages(db).await
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration(
            "batches that are kept cannot be told from others without their column".to_owned(),
        ))
    }
}

const STATEMENTS: &[&str] = &[
    "ALTER TABLE batch ADD COLUMN finished BIGINT NOT NULL DEFAULT 0",
    "CREATE INDEX batch_parent ON batch (job_key, parent, number)",
    "ALTER TABLE page ADD COLUMN items BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE page ADD COLUMN items_done BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE page ADD COLUMN items_failed BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE page ADD COLUMN items_discarded BIGINT NOT NULL DEFAULT 0",
    "CREATE INDEX page_batch ON page (job_key, batch)",
    "ALTER TABLE job_progress ADD COLUMN sampled BIGINT NOT NULL DEFAULT 0",
    "CREATE TABLE sample (
        job_key BIGINT NOT NULL,
        at BIGINT NOT NULL,
        done BIGINT NOT NULL,
        failed BIGINT NOT NULL,
        in_flight BIGINT NOT NULL,
        known BIGINT NOT NULL,
        run BIGINT NOT NULL,
        PRIMARY KEY (job_key, at)
    )",
    "CREATE TABLE pipe (
        partition_id TEXT NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (partition_id, name)
    )",
    "INSERT INTO pipe (partition_id, name) SELECT DISTINCT partition_id, pipe FROM job_progress",
    "CREATE INDEX item_forwarded ON item (job_key) WHERE forwarded = 1",
    "CREATE INDEX failure_dead ON failure (job_key) WHERE code = 'DEAD_LETTERED'",
];

#[derive(Debug, FromQueryResult)]
struct Uncounted {
    job_key: i64,
    number: i64,
    count: i64,
    sub: Vec<u8>,
    done: Vec<u8>,
    failed: Vec<u8>,
    discarded: Vec<u8>,
}

/// Counts the bits of the pages that are there, which only Rust can do in both dialects.
async fn count_pages(db: &SchemaManagerConnection<'_>) -> Result<(), DbErr> {
    let backend = db.get_database_backend();
    debug_assert!(matches!(backend, DbBackend::Postgres | DbBackend::Sqlite));
    let mut after = (i64::MIN, 0);
    loop {
        let sql = "SELECT job_key, number, count, sub, done, failed, discarded FROM page \
                   WHERE (job_key, number) > ($1, $2) ORDER BY job_key, number LIMIT $3";
        let values = [after.0.into(), after.1.into(), CHUNK.into()];
        let statement = Statement::from_sql_and_values(backend, sql, values);
        let rows = db.query_all_raw(statement).await?;
        for row in &rows {
            let page = Uncounted::from_query_result(row, "")?;
            after = (page.job_key, page.number);
            let count = |bits| i64::from(Bitmap::from_bytes(bits).len());
            let sql = "UPDATE page SET items = $3, items_done = $4, items_failed = $5, items_discarded = $6 \
                       WHERE job_key = $1 AND number = $2";
            let values = [
                page.job_key.into(),
                page.number.into(),
                (page.count - count(page.sub)).into(),
                count(page.done).into(),
                count(page.failed).into(),
                count(page.discarded).into(),
            ];
            db.execute_raw(Statement::from_sql_and_values(backend, sql, values))
                .await?;
        }
        if rows.is_empty() {
            return Ok(());
        }
    }
}
