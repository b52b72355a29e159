//! Many rows in one statement. On PostgreSQL the text does not depend on the number of rows: a few
//! rows are bound as an array for each kind of cell, and many as one for each column. A single row
//! is bound cell by cell. On SQLite, where a statement costs no round trip to another process, each
//! row has a prepared statement.

use sea_orm::{Value, sea_query::ArrayType};

use crate::{
    db::{handle::Db, tx::Tx},
    error::StoreError,
};

/// Rows that are bound as an array for each kind of cell, at most. To find a text in such an array
/// PostgreSQL walks over those before it, so the time grows with the square of the rows.
const MAX_FLAT_ROWS: usize = 32;

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
        let mut values = Vec::new();
        let insert = self.bind(db, &mut values, rows);
        let sql = format!("{insert}{}", self.tail(conflict));
        db.run(&**tx, sql, values).await
    }

    /// All columns for a SELECT, with the table as `alias`. Statements name their columns, so that
    /// they stay valid, prepared or not, while a migration adds one.
    pub(crate) fn columns_of(&self, alias: &str) -> String {
        let names: Vec<_> = self
            .columns
            .iter()
            .map(|(name, _)| format!("{alias}.{name}"))
            .collect();
        names.join(", ")
    }

    /// An insert of many rows, whose columns are arrays bound from `$first` on.
    pub(crate) fn unnest(&self, first: usize) -> String {
        format!(
            "INSERT INTO {} ({}) SELECT * FROM UNNEST({})",
            self.name,
            self.names(),
            self.array_markers(first)
        )
    }

    /// An insert of one row, whose cells are bound from `$first` on.
    pub(crate) fn one(&self, db: &Db, first: usize) -> String {
        let markers = (first..).zip(self.columns);
        let markers = markers.map(|(n, (_, kind))| match db.is_sqlite() {
            true => format!("${n}"),
            false => format!("${n}::{}", kind.sql()),
        });
        let markers: Vec<_> = markers.collect();
        format!(
            "INSERT INTO {} ({}) SELECT {}",
            self.name,
            self.names(),
            markers.join(", ")
        )
    }

    /// An insert of a few rows, which adds their values to those that are bound already: an array
    /// of all cells of a kind, row after row. PostgreSQL makes a table in memory for each array of
    /// [`Self::unnest`], and for all of these none.
    fn flat(&self, values: &mut Vec<Value>, rows: Vec<Vec<Cell>>) -> String {
        let count = rows.len();
        let mut arrays = Kind::ALL.map(|kind| (kind, Vec::new()));
        for (cell, (_, kind)) in rows.into_iter().flatten().zip(self.columns.iter().cycle()) {
            let (_, array) = &mut arrays[*kind as usize];
            array.push(Value::from(cell));
        }
        let mut places = [(0, 0); Kind::ALL.len()];
        for (kind, cells) in arrays {
            if !cells.is_empty() {
                places[kind as usize] = (values.len() + 1, cells.len() / count);
                values.push(Value::Array(kind.array(), Some(Box::new(cells))));
            }
        }
        let mut used = [0; Kind::ALL.len()];
        let cells = self.columns.iter().map(|(_, kind)| {
            let (array, in_row) = places[*kind as usize];
            used[*kind as usize] += 1;
            let at = used[*kind as usize];
            format!("(${array}::{}[])[n * {in_row} + {at}]", kind.sql())
        });
        let cells: Vec<_> = cells.collect();
        let numbers = (0..i32::try_from(count).unwrap_or(i32::MAX)).map(Value::from);
        values.push(Value::Array(
            ArrayType::Int,
            Some(Box::new(numbers.collect())),
        ));
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM UNNEST(${}::int[]) AS n",
            self.name,
            self.names(),
            cells.join(", "),
            values.len()
        )
    }

    /// An insert of rows for PostgreSQL, whose values it adds to those that are bound already.
    pub(crate) fn bind(
        &self,
        db: &Db,
        values: &mut Vec<Value>,
        mut rows: Vec<Vec<Cell>>,
    ) -> String {
        let first = values.len() + 1;
        match rows.len() {
            1 => {
                values.extend(rows.remove(0).into_iter().map(Value::from));
                self.one(db, first)
            }
            2..=MAX_FLAT_ROWS => self.flat(values, rows),
            _ => {
                values.extend(self.transpose(rows));
                self.unnest(first)
            }
        }
    }

    /// The column that says which job a row is about: `job_key`, or else `uid`.
    pub(crate) fn job_column(&self) -> usize {
        let position = |wanted: &str| self.columns.iter().position(|(name, _)| *name == wanted);
        position("job_key").or_else(|| position("uid")).unwrap_or(0)
    }

    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    pub(crate) fn markers(&self) -> String {
        let markers: Vec<_> = (1..=self.columns.len()).map(|n| format!("${n}")).collect();
        markers.join(", ")
    }

    pub(crate) fn array_markers(&self, first: usize) -> String {
        let markers = (first..).zip(self.columns);
        let markers = markers.map(|(n, (_, kind))| format!("${n}::{}[]", kind.sql()));
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

    pub(crate) fn transpose(&self, rows: Vec<Vec<Cell>>) -> Vec<Value> {
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
            .map(|((_, kind), values)| Value::Array(kind.array(), Some(Box::new(values))))
            .collect()
    }
}

/// The type of a column. Columns of bulk tables are never NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Bytes,
    Text,
    Real,
}

impl Kind {
    /// In the order of their numbers.
    const ALL: [Self; 4] = [Self::Int, Self::Bytes, Self::Text, Self::Real];

    fn array(self) -> ArrayType {
        match self {
            Self::Int => ArrayType::BigInt,
            Self::Bytes => ArrayType::Bytes,
            Self::Text => ArrayType::String,
            Self::Real => ArrayType::Double,
        }
    }

    /// The type in PostgreSQL.
    fn sql(self) -> &'static str {
        match self {
            Self::Int => "bigint",
            Self::Bytes => "bytea",
            Self::Text => "text",
            Self::Real => "double precision",
        }
    }
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
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Bytes(_) | Self::Text(_) | Self::Real(_) => None,
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
