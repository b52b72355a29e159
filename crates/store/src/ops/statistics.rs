//! The statistics by which PostgreSQL plans statements.

use sea_orm::FromQueryResult;

use crate::{Store, error::StoreError};

/// The smallest size, in pages of 8 KiB, from which growth is counted. A table gets its first statistics when it has more
/// than [`GROWN`] times as many pages: beyond 8 MiB. Until then the worst plan of a statement reads at most that much.
const SMALL: i64 = 256;
/// A table gets new statistics when it has grown by this factor since its last ones. Each time, every connection plans its
/// statements again. With a factor of 2 and a smallest size of 32 pages, a database that was empty and took 20,000 jobs in a
/// few seconds spent a twentieth of its time on it.
const GROWN: i64 = 4;

#[derive(Debug, FromQueryResult)]
struct TableRow {
    name: String,
}

impl Store {
    /// Makes new statistics of tables that have grown much since their last ones, and with them new plans.
    ///
    /// A connection keeps the plan of a statement until the statistics change. A plan that was made while a table was small
    /// may read all of it, and does so for each report when there are 100,000 jobs. PostgreSQL's own autovacuum makes statistics
    /// too, but looks only once a minute. The cost of all of them together grows with the logarithm of the number of rows.
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
            .all(db.work_reader(), sql, [GROWN.into(), SMALL.into()])
            .await?;
        for table in tables {
            tracing::debug!(
                table = table.name,
                "making statistics of a table that has grown"
            );
            let name = table.name.replace('"', "\"\"");
            // Where another process does so already, it is left to that one.
            let sql = format!("ANALYZE (SKIP_LOCKED) \"{name}\"");
            db.run(db.work_reader(), sql, []).await?;
        }
        Ok(())
    }
}
