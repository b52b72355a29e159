//! Many rows in one statement: UNNEST on PostgreSQL, whose text does not depend on the number
//! of rows; a prepared statement a row on SQLite, where a statement costs no round trip.

use std::collections::HashSet;

use sea_orm::{Value, sea_query::ArrayType};

use super::{Db, Durability, Tx};
use crate::error::StoreError;

/// The type of a column. Columns of bulk tables are never NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Bytes,
    Text,
    Real,
}

/// A value of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Int(i64),
    Bytes(Vec<u8>),
    Text(String),
    Real(f64),
}

impl Cell {
    fn int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Bytes(_) | Self::Text(_) | Self::Real(_) => None,
        }
    }
}

/// What happens to a row whose key exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// An error.
    Fail,
    /// Every column after the key and before `insert_only` is overwritten.
    Update,
}

/// A table as bulk statements see it.
#[derive(Debug)]
pub(crate) struct Table {
    pub name: &'static str,
    /// The first columns are the key.
    pub keys: usize,
    /// The last columns are written by inserts only.
    pub insert_only: usize,
    pub columns: &'static [(&'static str, Kind)],
}

impl Table {
    /// Writes rows; the number of rows inserted or changed.
    pub(crate) async fn write(
        &self,
        db: &Db,
        tx: &Tx<'_>,
        rows: Vec<Vec<Cell>>,
        conflict: Conflict,
    ) -> Result<u64, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        if db.is_sqlite() {
            let sql = format!(
                "INSERT INTO {} ({}) VALUES ({}){}",
                self.name,
                self.names(),
                self.markers(),
                self.tail(conflict)
            );
            let mut changed = 0;
            for row in rows {
                changed += db
                    .run(&**tx, sql.as_str(), row.into_iter().map(Value::from))
                    .await?;
            }
            return Ok(changed);
        }
        let sql = format!("{}{}", self.unnest(1), self.tail(conflict));
        db.run(&**tx, sql, self.transpose(rows)).await
    }

    /// All columns for a SELECT, with the table as `alias`. Statements name their columns, so that they stay valid, prepared
    /// or not, while a migration adds one.
    pub(crate) fn columns_of(&self, alias: &str) -> String {
        let names: Vec<_> = self
            .columns
            .iter()
            .map(|(name, _)| format!("{alias}.{name}"))
            .collect();
        names.join(", ")
    }

    /// An insert of many rows, whose columns are arrays bound from `$first` on.
    fn unnest(&self, first: usize) -> String {
        format!(
            "INSERT INTO {} ({}) SELECT * FROM UNNEST({})",
            self.name,
            self.names(),
            self.array_markers(first)
        )
    }

    /// The column that says which job a row is about: `job_key`, or else `uid`.
    fn job_column(&self) -> usize {
        let position = |wanted: &str| self.columns.iter().position(|(name, _)| *name == wanted);
        position("job_key").or_else(|| position("uid")).unwrap_or(0)
    }

    fn names(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    fn markers(&self) -> String {
        let markers: Vec<_> = (1..=self.columns.len()).map(|n| format!("${n}")).collect();
        markers.join(", ")
    }

    fn array_markers(&self, first: usize) -> String {
        let markers = (first..).zip(self.columns).map(|(n, (_, kind))| {
            let of = match kind {
                Kind::Int => "bigint",
                Kind::Bytes => "bytea",
                Kind::Text => "text",
                Kind::Real => "double precision",
            };
            format!("${n}::{of}[]")
        });
        markers.collect::<Vec<_>>().join(", ")
    }

    fn tail(&self, conflict: Conflict) -> String {
        match conflict {
            Conflict::Fail => String::new(),
            Conflict::Update => {
                let keys: Vec<_> = self.columns[..self.keys]
                    .iter()
                    .map(|(name, _)| *name)
                    .collect();
                let hot = &self.columns[self.keys..self.columns.len() - self.insert_only];
                let sets: Vec<_> = hot
                    .iter()
                    .map(|(name, _)| format!("{name} = excluded.{name}"))
                    .collect();
                format!(
                    " ON CONFLICT ({}) DO UPDATE SET {}",
                    keys.join(", "),
                    sets.join(", ")
                )
            }
        }
    }

    fn transpose(&self, rows: Vec<Vec<Cell>>) -> Vec<Value> {
        let mut columns: Vec<Vec<Value>> = self
            .columns
            .iter()
            .map(|_| Vec::with_capacity(rows.len()))
            .collect();
        for row in rows {
            for (column, cell) in columns.iter_mut().zip(row) {
                column.push(cell.into());
            }
        }
        self.columns
            .iter()
            .zip(columns)
            .map(|((_, kind), values)| {
                let of = match kind {
                    Kind::Int => ArrayType::BigInt,
                    Kind::Bytes => ArrayType::Bytes,
                    Kind::Text => ArrayType::String,
                    Kind::Real => ArrayType::Double,
                };
                Value::Array(of, Some(Box::new(values)))
            })
            .collect()
    }
}

/// Rows of a table.
pub(crate) type Part = (&'static Table, Vec<Vec<Cell>>);

/// What becomes of jobs whose name or request id is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// PostgreSQL inserts no job and answers with [`StoreError::Duplicate`]. Its processes need about a quarter less CPU time
    /// than for [`Taken::LeaveOut`], so this is for jobs that are most likely new. SQLite leaves them out.
    Fail,
    /// They are left out, with all of their rows.
    LeaveOut,
}

/// Inserts jobs with their rows in other tables, durably, in a transaction of their own: on PostgreSQL in one statement, which
/// costs one round trip instead of one a table. The first columns of `jobs` are `job_key` and `uid`; every other table has
/// one of them.
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

impl From<Cell> for Value {
    fn from(cell: Cell) -> Self {
        match cell {
            Cell::Int(value) => value.into(),
            Cell::Bytes(value) => value.into(),
            Cell::Text(value) => value.into(),
            Cell::Real(value) => value.into(),
        }
    }
}

macro_rules! cell_from {
    ($($from:ty => |$value:ident| $cell:expr),* $(,)?) => {
        $(impl From<$from> for Cell {
            fn from($value: $from) -> Self {
                $cell
            }
        })*
    };
}

cell_from! {
    i64 => |value| Self::Int(value),
    u32 => |value| Self::Int(value.into()),
    u16 => |value| Self::Int(value.into()),
    bool => |value| Self::Int(value.into()),
    u64 => |value| Self::Int(i64::try_from(value).unwrap_or(i64::MAX)),
    f64 => |value| Self::Real(value),
    Vec<u8> => |value| Self::Bytes(value),
    &[u8] => |value| Self::Bytes(value.to_vec()),
    String => |value| Self::Text(value),
    &str => |value| Self::Text(value.to_owned()),
    Option<i64> => |value| Self::Int(value.unwrap_or(0)),
}
