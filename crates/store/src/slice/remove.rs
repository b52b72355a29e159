//! Removing rows of jobs.

use headway_domain::JobSlice;

use crate::{
    db::{Db, Tx, bulk::Conflict, keys, table::table},
    error::StoreError,
    slice::rows::batch::DEFINITION_BYTES,
};

/// Rows of deleted jobs that one transaction removes from a table at most.
const MAX_ROWS_PER_TX: i64 = 5000;

table! {
    /// A deleted job whose rows are to be collected.
    pub(crate) struct GarbageRow as "g";
    const GARBAGE = "garbage";
    fn garbage_cells(key: i64) {}
    key job_key: i64 = key,
}

impl Db {
    /// Takes away what is due of jobs that are about to be deleted: it must not stand before what
    /// is due of others until it is collected.
    pub(crate) async fn forget_due(
        &self,
        tx: &Tx<'_>,
        slices: &[JobSlice],
    ) -> Result<(), StoreError> {
        let keys_of = |concerned: fn(&JobSlice) -> bool| {
            let some = slices.iter().filter(|slice| concerned(slice));
            some.map(|slice| slice.job().meta.key).collect::<Vec<_>>()
        };
        let among = self.is_in("job_key", 1);
        for (concerned, change) in [
            (
                keys_of(|slice| slice.job().counts.item_rows > 0),
                format!(
                    "UPDATE item SET due = 0, lease_until = 0 WHERE {among} AND (due > 0 OR lease_until > 0)"
                ),
            ),
            (
                keys_of(|slice| slice.job().counts.unsplit > 0),
                format!("UPDATE page SET due = 0 WHERE {among} AND due > 0"),
            ),
        ] {
            if !concerned.is_empty() {
                self.run(&**tx, change, [keys::ints(concerned)]).await?;
            }
        }
        Ok(())
    }

    /// Deletes the rows that make jobs visible. Their other rows are garbage, to be collected
    /// later.
    pub(crate) async fn delete_visible(&self, tx: &Tx<'_>, jobs: &[i64]) -> Result<(), StoreError> {
        let among = self.is_in("job_key", 1);
        for table in ["label", "job_progress", "job"] {
            let sql = format!("DELETE FROM {table} WHERE {among}");
            self.run(&**tx, sql, [keys::ints(jobs.iter().copied())])
                .await?;
        }
        let garbage = jobs.iter().map(|key| garbage_cells(*key));
        GARBAGE
            .write(self, tx, garbage.collect(), Conflict::Fail)
            .await?;
        Ok(())
    }

    /// Locks some deleted jobs that nobody else collects.
    pub(crate) async fn lock_garbage(
        &self,
        tx: &Tx<'_>,
        most: i64,
    ) -> Result<Vec<GarbageRow>, StoreError> {
        let sql = format!(
            "SELECT {} FROM garbage g ORDER BY g.job_key LIMIT $1{}",
            GarbageRow::COLUMNS,
            self.skip_locked()
        );
        self.all(&**tx, sql, [most.into()]).await
    }

    /// Removes some of the rows that deleted jobs left; whether that was all.
    pub(crate) async fn remove_garbage(
        &self,
        tx: &Tx<'_>,
        garbage: &[GarbageRow],
    ) -> Result<bool, StoreError> {
        let list = keys::ints(garbage.iter().map(|garbage| garbage.job_key));
        for (table, columns) in [
            ("item", "job_key, page, idx"),
            ("page", "job_key, number"),
            ("batch", "job_key, number"),
            ("failure", "job_key, run, seq"),
            ("sample", "job_key, at"),
            ("split_retry", "job_key, page"),
            ("prerequisite", "job_key, number"),
        ] {
            let sql = format!(
                "DELETE FROM {table} WHERE ({columns}) IN (SELECT {columns} FROM {table} WHERE {} LIMIT $2)",
                self.is_in("job_key", 1)
            );
            let gone = self
                .run(&**tx, sql, [list.clone(), MAX_ROWS_PER_TX.into()])
                .await?;
            if gone >= MAX_ROWS_PER_TX as u64 {
                return Ok(false);
            }
        }
        let sql = format!("DELETE FROM garbage WHERE {}", self.is_in("job_key", 1));
        self.run(&**tx, sql, [list]).await?;
        Ok(true)
    }
}

/// Nobody splits again what is done: the beginning of its definition is enough to show what it was.
pub(crate) async fn cut_definitions(
    db: &Db,
    tx: &Tx<'_>,
    finished: Vec<(i64, i64)>,
) -> Result<(), StoreError> {
    if finished.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE batch SET definition = substr(definition, 1, {DEFINITION_BYTES}) WHERE length(definition) > {DEFINITION_BYTES} \
         AND (job_key, number) IN (SELECT k.a, k.b FROM {})",
        db.pairs("k", 1)
    );
    db.run(&**tx, sql, [keys::pairs(finished)]).await?;
    Ok(())
}

pub(crate) async fn delete_pairs(
    db: &Db,
    tx: &Tx<'_>,
    table: &str,
    column: &str,
    gone: Vec<(i64, i64)>,
) -> Result<(), StoreError> {
    if gone.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "DELETE FROM {table} WHERE (job_key, {column}) IN (SELECT k.a, k.b FROM {})",
        db.pairs("k", 1)
    );
    db.run(&**tx, sql, [keys::pairs(gone)]).await?;
    Ok(())
}

pub(crate) async fn delete_items(
    db: &Db,
    tx: &Tx<'_>,
    gone: Vec<(i64, i64, i64)>,
) -> Result<(), StoreError> {
    if gone.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "DELETE FROM item WHERE (job_key, page, idx) IN (SELECT k.a, k.b, k.c FROM {})",
        db.triples("k", 1)
    );
    db.run(&**tx, sql, [keys::triples(gone)]).await?;
    Ok(())
}
