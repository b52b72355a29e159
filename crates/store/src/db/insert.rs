//! New jobs with their rows in other tables, in one statement where that saves round trips.

use std::collections::HashSet;

use sea_orm::{QueryResult, Value};

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
    /// No job is inserted, and the answer is [`StoreError::Duplicate`]. PostgreSQL's processes need
    /// about a quarter less CPU time than for [`Taken::LeaveOut`], so this is for jobs that are
    /// most likely new.
    Fail,
    /// They are left out, with all of their rows.
    LeaveOut,
}

/// A condition in the database's SQL, and its values, which are bound from `$first` on.
pub(crate) type Condition<'a> = &'a (dyn Fn(usize) -> (String, Vec<Value>) + Sync);

/// Inserts jobs with their rows in other tables, durably, in a transaction of their own: on
/// PostgreSQL in one statement, which costs one round trip instead of one a table; on SQLite, with
/// [`Taken::Fail`], in one round trip a job. The first columns of `jobs` are `job_key` and `uid`;
/// every other table has one of them.
///
/// With [`Taken::Fail`], nothing is inserted unless the condition holds.
///
/// Returns the keys of the jobs that were inserted.
pub(crate) async fn insert_jobs(
    db: &Db,
    jobs: Part,
    mut parts: Vec<Part>,
    taken: Taken,
    condition: Option<Condition<'_>>,
) -> Result<HashSet<i64>, StoreError> {
    parts.retain(|(_, rows)| !rows.is_empty());
    if db.is_sqlite() {
        let tx = db.write(Durability::Full).await?;
        let inserted = match taken {
            Taken::Fail => insert_each(db, &tx, jobs, parts, condition).await,
            Taken::LeaveOut => insert_those_free(db, &tx, jobs, parts).await,
        };
        return tx.end(inserted).await;
    }
    let (sql, values) = match taken {
        Taken::Fail => insert_new(db, jobs, parts, condition),
        Taken::LeaveOut => insert_untaken(jobs, parts),
    };
    let rows = db.rows_alone(sql, values).await?;
    let key = |row: &QueryResult| Ok(row.try_get::<i64>("", "value")?);
    rows.iter().map(key).collect()
}

/// A statement for PostgreSQL that inserts all jobs, or fails, and returns their keys. It inserts
/// nothing if the condition does not hold.
fn insert_new(
    db: &Db,
    (job, rows): Part,
    parts: Vec<Part>,
    condition: Option<Condition<'_>>,
) -> (String, Vec<Value>) {
    let mut values = Vec::new();
    let insert = job.bind(db, &mut values, rows);
    let mut with = Vec::with_capacity(parts.len() + 1);
    let mut filter = "";
    if let Some(condition) = condition {
        let (condition, bound) = condition(values.len() + 1);
        with.push(format!(
            "condition AS MATERIALIZED (SELECT {condition} AS holds)"
        ));
        values.extend(bound);
        filter = " WHERE (SELECT holds FROM condition)";
    }
    for (number, (table, rows)) in parts.into_iter().enumerate() {
        let insert = table.bind(db, &mut values, rows);
        with.push(format!("part{number} AS ({insert}{filter})"));
    }
    let with = match with.is_empty() {
        true => String::new(),
        false => format!("WITH {} ", with.join(", ")),
    };
    let sql = format!("{with}{insert}{filter} RETURNING job_key AS value");
    (sql, values)
}

/// Inserts jobs into SQLite, each with its other rows in one round trip to the thread that has the
/// database. Nobody else writes meanwhile, so the condition is checked with the first job.
async fn insert_each(
    db: &Db,
    tx: &Tx<'_>,
    (job, rows): Part,
    mut parts: Vec<Part>,
    mut condition: Option<Condition<'_>>,
) -> Result<HashSet<i64>, StoreError> {
    let mut keys = HashSet::with_capacity(rows.len());
    for row in rows {
        let identity: Vec<Cell> = row.iter().take(2).cloned().collect();
        let mut sql = job.one(db, 1);
        let mut values: Vec<Value> = row.into_iter().map(Value::from).collect();
        let mut filter = "";
        if let Some(condition) = condition.take() {
            let (condition, bound) = condition(values.len() + 1);
            sql.push_str(&format!(" WHERE {condition}"));
            values.extend(bound);
            filter = " WHERE EXISTS (SELECT 1 FROM job WHERE job_key = $1)";
        }
        for (table, rows) in &mut parts {
            let of = table.job_column();
            let own = |row: &mut Vec<Cell>| row.get(of).is_some_and(|cell| identity.contains(cell));
            for row in rows.extract_if(.., own) {
                sql.push_str(&format!("; {}{filter}", table.one(db, values.len() + 1)));
                values.extend(row.into_iter().map(Value::from));
            }
        }
        if db.run(&**tx, sql, values).await? == 0 {
            return Ok(HashSet::new());
        }
        keys.extend(identity.first().and_then(Cell::int));
    }
    Ok(keys)
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

/// Inserts the jobs whose names and request ids are free, with their other rows, into SQLite.
async fn insert_those_free(
    db: &Db,
    tx: &Tx<'_>,
    jobs: Part,
    parts: Vec<Part>,
) -> Result<HashSet<i64>, StoreError> {
    let inserted = insert_free(db, tx, jobs).await?;
    for (table, mut rows) in parts {
        let of = table.job_column();
        rows.retain(|row| row.get(of).is_some_and(|cell| inserted.contains(cell)));
        table.write(db, tx, rows, Conflict::Fail).await?;
    }
    Ok(inserted.keys)
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
