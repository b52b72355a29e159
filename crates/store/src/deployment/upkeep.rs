//! Upkeep of the database: the statistics by which PostgreSQL plans statements, and the room in the
//! file of SQLite.

use sea_orm::{ConnectionTrait, FromQueryResult};

use crate::{db::Durability, error::StoreError, store::Store};

/// The smallest size, in pages of 8 KiB, from which growth is counted. A table gets its first
/// statistics when it has more than [`GROWTH`] times as many pages: beyond 8 MiB. Until then the
/// worst plan of a statement reads at most that much.
const MIN_TABLE_PAGES: i64 = 256;

/// A table gets new statistics when it has grown by this factor since its last ones. Each time,
/// every connection plans its statements again. With a factor of 2 and a smallest size of 32 pages,
/// a database that was empty and took 20,000 jobs in a few seconds spent a twentieth of its time on
/// it.
const GROWTH: i64 = 4;

#[derive(Debug, FromQueryResult)]
struct TableRow {
    name: String,
}

impl Store {
    /// Makes new statistics of tables that have grown much since their last ones, and with them new
    /// plans.
    ///
    /// A connection keeps the plan of a statement until the statistics change. A plan that was made
    /// while a table was small may read all of it, and does so for each report when there are
    /// 100,000 jobs. PostgreSQL's own autovacuum makes statistics too, but looks only once a
    /// minute. The cost of all of them together grows with the logarithm of the number of rows.
    /// SQLite needs none.
    pub async fn refresh_statistics(&self) -> Result<(), StoreError> {
        let db = &self.db;
        if db.is_sqlite() {
            return Ok(());
        }
        let sql = "SELECT CAST(c.relname AS TEXT) AS name FROM pg_class c \
                   WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND pg_has_role(c.relowner, 'USAGE') \
                   AND pg_relation_size(c.oid) / current_setting('block_size')::bigint > $1 * GREATEST(c.relpages, $2)";
        let tables: Vec<TableRow> = db
            .all(
                db.work_reader(),
                sql,
                [GROWTH.into(), MIN_TABLE_PAGES.into()],
            )
            .await?;
        for table in tables {
            tracing::debug!(
                table = table.name,
                "updating the statistics of a table that has grown"
            );
            let name = table.name.replace('"', "\"\"");
            // Where another process does so already, it is left to that one.
            let sql = format!("ANALYZE (SKIP_LOCKED) \"{name}\"");
            db.run(db.work_reader(), sql, []).await?;
        }
        Ok(())
    }
}

/// Fewer free pages than this are kept for what comes next; a page has 4 KiB.
const MIN_FREE_PAGES: i64 = 1000;

/// Pages given back by one transaction: others write in between.
const PAGES_PER_TX: i64 = 500;

impl Store {
    /// Gives some unused room of the database's file back to the file system; whether there may be
    /// more. PostgreSQL does so by itself.
    pub async fn shrink(&self) -> Result<bool, StoreError> {
        let db = &self.db;
        if !db.is_sqlite() {
            return Ok(false);
        }
        let sql = "SELECT freelist_count AS value FROM pragma_freelist_count()";
        let free = db.one_int(db.reader(), sql, []).await?.unwrap_or(0);
        let sql = "SELECT auto_vacuum AS value FROM pragma_auto_vacuum()";
        let incremental = db.one_int(db.reader(), sql, []).await? == Some(2);
        if !incremental || free < MIN_FREE_PAGES + PAGES_PER_TX {
            return Ok(false);
        }
        let tx = db.write(Durability::Process).await?;
        tx.execute_unprepared(&format!("PRAGMA incremental_vacuum({PAGES_PER_TX})"))
            .await?;
        tx.commit().await?;
        Ok(true)
    }
}
