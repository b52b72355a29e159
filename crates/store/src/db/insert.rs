//! New jobs with their rows in other tables, in one statement where that saves round trips.

use std::collections::HashSet;

use sea_orm::Value;

use crate::{
    db::{
        bulk::{Cell, Conflict, Table},
        handle::Db,
        tx::{Durability, Tx},
    },
    error::StoreError,
};

/// Rows of a table.
pub(crate) type Part = (&'static Table, Vec<Vec<Cell>>);

/// What becomes of jobs whose name or request id is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// PostgreSQL inserts no job and answers with [`StoreError::Duplicate`]. Its processes need
    /// about a quarter less CPU time than for [`Taken::LeaveOut`], so this is for jobs that are
    /// most likely new. SQLite leaves them out.
    Fail,
    /// They are left out, with all of their rows.
    LeaveOut,
}

/// Inserts jobs with their rows in other tables, durably, in a transaction of their own: on
/// PostgreSQL in one statement, which costs one round trip instead of one a table. The first
/// columns of `jobs` are `job_key` and `uid`; every other table has one of them.
///
/// Returns the keys of the jobs that were inserted.
pub(crate) async fn insert_jobs(
    db: &Db,
    jobs: Part,
    mut parts: Vec<Part>,
    taken: Taken,
) -> Result<HashSet<i64>, StoreError> {
    parts.retain(|(_, rows)| !rows.is_empty());
    if db.is_sqlite() {
        let tx = db.write(Durability::Full).await?;
        let inserted = insert_free(db, &tx, jobs).await?;
        for (table, mut rows) in parts {
            let of = table.job_column();
            rows.retain(|row| row.get(of).is_some_and(|cell| inserted.contains(cell)));
            table.write(db, &tx, rows, Conflict::Fail).await?;
        }
        tx.commit().await?;
        return Ok(inserted.keys);
    }
    let keys = jobs.1.iter().filter_map(|row| row.first()?.int()).collect();
    let (sql, values) = match taken {
        Taken::Fail => insert_new(jobs, parts),
        Taken::LeaveOut => insert_untaken(jobs, parts),
    };
    let rows = db.rows_alone(sql, values).await?;
    match taken {
        Taken::Fail => Ok(keys),
        Taken::LeaveOut => rows
            .iter()
            .map(|row| Ok(row.try_get::<i64>("", "value")?))
            .collect(),
    }
}

/// A statement that inserts all jobs, or fails. It returns no rows.
fn insert_new((job, rows): Part, parts: Vec<Part>) -> (String, Vec<Value>) {
    let insert = job.unnest(1);
    let mut values = job.transpose(rows);
    let mut with = Vec::with_capacity(parts.len());
    for (number, (table, rows)) in parts.into_iter().enumerate() {
        with.push(format!(
            "part{number} AS ({})",
            table.unnest(values.len() + 1)
        ));
        values.extend(table.transpose(rows));
    }
    let with = match with.is_empty() {
        true => String::new(),
        false => format!("WITH {} ", with.join(", ")),
    };
    (with + &insert, values)
}

/// A statement that inserts the jobs whose names and request ids are free, and returns their keys.
fn insert_untaken((job, rows): Part, parts: Vec<Part>) -> (String, Vec<Value>) {
    let mut sql = format!(
        "WITH inserted AS ({} ON CONFLICT DO NOTHING RETURNING job_key, uid)",
        job.unnest(1)
    );
    let mut values = job.transpose(rows);
    for (number, (table, rows)) in parts.into_iter().enumerate() {
        let (names, markers) = (table.names(), table.array_markers(values.len() + 1));
        let (into, of) = (table.name, table.columns[table.job_column()].0);
        sql.push_str(&format!(
            ", part{number} AS (INSERT INTO {into} ({names}) SELECT {names} FROM UNNEST({markers}) AS r({names}) \
             WHERE r.{of} IN (SELECT {of} FROM inserted))"
        ));
        values.extend(table.transpose(rows));
    }
    sql.push_str(" SELECT job_key AS value FROM inserted");
    (sql, values)
}

/// Inserts the jobs whose names and request ids are free.
pub(crate) async fn insert_free(
    db: &Db,
    tx: &Tx<'_>,
    (table, rows): Part,
) -> Result<Inserted, StoreError> {
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING",
        table.name,
        table.names(),
        table.markers()
    );
    let mut inserted = Inserted::default();
    for row in rows {
        let identity = (row.first().cloned(), row.get(1).cloned());
        let changed = db
            .run(&**tx, sql.as_str(), row.into_iter().map(Value::from))
            .await?;
        if let (1, (Some(Cell::Int(key)), Some(Cell::Bytes(uid)))) = (changed, identity) {
            inserted.keys.insert(key);
            inserted.uids.insert(uid);
        }
    }
    Ok(inserted)
}

/// Jobs that were inserted.
#[derive(Debug, Default)]
pub(crate) struct Inserted {
    pub(crate) keys: HashSet<i64>,
    uids: HashSet<Vec<u8>>,
}

impl Inserted {
    fn contains(&self, cell: &Cell) -> bool {
        match cell {
            Cell::Int(key) => self.keys.contains(key),
            Cell::Bytes(uid) => self.uids.contains(uid),
            Cell::Text(_) | Cell::Real(_) => false,
        }
    }
}
