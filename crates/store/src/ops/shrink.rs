//! Giving room in the file of SQLite back to the file system.

use sea_orm::ConnectionTrait;

use crate::{Store, db::Durability, error::StoreError};

/// Fewer free pages than this are kept for what comes next; a page has 4 KiB.
const KEPT: i64 = 1000;
/// Pages given back by one transaction: others write in between.
const GIVEN: i64 = 500;

impl Store {
    /// Gives some unused room of the database's file back to the file system; whether there may be more. PostgreSQL does so by itself.
    pub async fn shrink(&self) -> Result<bool, StoreError> {
        let db = &self.db;
        if !db.is_sqlite() {
            return Ok(false);
        }
        let sql = "SELECT freelist_count AS value FROM pragma_freelist_count()";
        let free = db.one_int(db.reader(), sql, []).await?.unwrap_or(0);
        let sql = "SELECT auto_vacuum AS value FROM pragma_auto_vacuum()";
        let incremental = db.one_int(db.reader(), sql, []).await? == Some(2);
        if !incremental || free < KEPT + GIVEN {
            return Ok(false);
        }
        let tx = db.write(Durability::Process).await?;
        tx.execute_unprepared(&format!("PRAGMA incremental_vacuum({GIVEN})"))
            .await?;
        tx.commit().await?;
        Ok(true)
    }
}
