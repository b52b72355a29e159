//! Lists of columns. Each table and each row has one list, which gives its struct, the names and
//! kinds of its columns, and its cells.

use super::bulk::Kind;

/// A Rust type of a column.
pub(crate) trait Column {
    /// The kind of the column.
    const KIND: Kind;
}

impl Column for i64 {
    const KIND: Kind = Kind::Int;
}

impl Column for Vec<u8> {
    const KIND: Kind = Kind::Bytes;
}

impl Column for String {
    const KIND: Kind = Kind::Text;
}

impl Column for f64 {
    const KIND: Kind = Kind::Real;
}

/// A row as a SELECT reads it: the struct, and `COLUMNS` for the SELECT, with the table under an
/// alias. Statements name their columns, so that they stay valid, prepared or not, while a
/// migration adds one.
macro_rules! row {
    (
        $(#[$meta:meta])*
        $vis:vis struct $Row:ident as $alias:literal {
            $(#[$first_attribute:meta])* $first:ident: $first_type:ty,
            $($(#[$attribute:meta])* $column:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, sea_orm::FromQueryResult)]
        $vis struct $Row {
            $(#[$first_attribute])* $vis $first: $first_type,
            $($(#[$attribute])* $vis $column: $type,)*
        }

        impl $Row {
            pub(crate) const COLUMNS: &str = concat!(
                $alias, ".", stringify!($first)
                $(, ", ", $alias, ".", stringify!($column))*
            );
        }
    };
}
pub(crate) use row;

/// A table that is written in bulk: the [`Table`](super::bulk::Table), the function that makes the
/// cells of a row, and the struct of what is read of a row, if there is one (see [`row!`]).
///
/// Each column is written `name: type = value,`. Before the name may stand:
/// - `key`: a part of the key; `key_only`: one that is not read.
/// - `write`: not read back; statements look at it.
/// - `once` and `once_read`: inserts write it, updates leave it.
macro_rules! table {
    // One column at a time, sorted into keys, updated columns and inserted ones, and those that are
    // read.
    (@next $head:tt $keys:tt $hot:tt $once:tt $read:tt) => {
        $crate::db::table::table! { @done $head $keys $hot $once $read }
    };
    (@next $head:tt [$($keys:tt)*] $hot:tt $once:tt [$($read:tt)*]
        $(#[$attribute:meta])* key $column:ident: $type:ty = $value:expr, $($rest:tt)*) => {
        $crate::db::table::table! { @next $head [$($keys)* ($column, $type, $value)] $hot $once
            [$($read)* ($(#[$attribute])* $column: $type)] $($rest)* }
    };
    (@next $head:tt [$($keys:tt)*] $hot:tt $once:tt $read:tt
        key_only $column:ident: $type:ty = $value:expr, $($rest:tt)*) => {
        $crate::db::table::table! { @next $head [$($keys)* ($column, $type, $value)] $hot $once $read $($rest)* }
    };
    (@next $head:tt $keys:tt [$($hot:tt)*] $once:tt $read:tt
        write $column:ident: $type:ty = $value:expr, $($rest:tt)*) => {
        $crate::db::table::table! { @next $head $keys [$($hot)* ($column, $type, $value)] $once $read $($rest)* }
    };
    (@next $head:tt $keys:tt $hot:tt [$($once:tt)*] $read:tt
        once $column:ident: $type:ty = $value:expr, $($rest:tt)*) => {
        $crate::db::table::table! { @next $head $keys $hot [$($once)* ($column, $type, $value)] $read $($rest)* }
    };
    (@next $head:tt $keys:tt $hot:tt [$($once:tt)*] [$($read:tt)*]
        $(#[$attribute:meta])* once_read $column:ident: $type:ty = $value:expr, $($rest:tt)*) => {
        $crate::db::table::table! { @next $head $keys $hot [$($once)* ($column, $type, $value)]
            [$($read)* ($(#[$attribute])* $column: $type)] $($rest)* }
    };
    (@next $head:tt $keys:tt [$($hot:tt)*] $once:tt [$($read:tt)*]
        $(#[$attribute:meta])* $column:ident: $type:ty = $value:expr, $($rest:tt)*) => {
        $crate::db::table::table! { @next $head $keys [$($hot)* ($column, $type, $value)] $once
            [$($read)* ($(#[$attribute])* $column: $type)] $($rest)* }
    };
    (@done
        { $row:tt $TABLE:ident $name:literal $cells:ident $arguments:tt $setup:tt }
        [$(($key:ident, $key_type:ty, $key_value:expr))*]
        [$(($hot:ident, $hot_type:ty, $hot_value:expr))*]
        [$(($once:ident, $once_type:ty, $once_value:expr))*]
        $read:tt
    ) => {
        pub(crate) const $TABLE: $crate::db::bulk::Table = $crate::db::bulk::Table {
            name: $name,
            keys: <[&str]>::len(&[$(stringify!($key)),*]),
            insert_only: <[&str]>::len(&[$(stringify!($once)),*]),
            columns: &[
                $((stringify!($key), <$key_type as $crate::db::table::Column>::KIND),)*
                $((stringify!($hot), <$hot_type as $crate::db::table::Column>::KIND),)*
                $((stringify!($once), <$once_type as $crate::db::table::Column>::KIND),)*
            ],
        };
        $crate::db::table::table! {
            @cells $cells $arguments $setup [$($key_value,)* $($hot_value,)* $($once_value,)*]
        }
        $crate::db::table::table! { @row $row $read }
    };
    (@cells $cells:ident ($($arguments:tt)*) {$($setup:tt)*} [$($value:expr,)*]) => {
        /// The cells of a row, in the order of the table's columns.
        pub(crate) fn $cells($($arguments)*) -> Vec<$crate::db::bulk::Cell> {
            $($setup)*
            vec![$($crate::db::bulk::Cell::from($value)),*]
        }
    };
    (@row [] $read:tt) => {};
    (@row [$($row:tt)+] [$(($($column:tt)*))*]) => {
        $crate::db::table::row! { $($row)+ { $($($column)*,)* } }
    };
    (
        const $TABLE:ident = $name:literal;
        fn $cells:ident $arguments:tt $setup:tt
        $($columns:tt)*
    ) => {
        $crate::db::table::table! {
            @next { [] $TABLE $name $cells $arguments $setup } [] [] [] [] $($columns)*
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $Row:ident as $alias:literal;
        const $TABLE:ident = $name:literal;
        fn $cells:ident $arguments:tt $setup:tt
        $($columns:tt)*
    ) => {
        $crate::db::table::table! {
            @next { [$(#[$meta])* $vis struct $Row as $alias] $TABLE $name $cells $arguments $setup } [] [] [] []
            $($columns)*
        }
    };
}
pub(crate) use table;

#[cfg(test)]
mod tests {
    use crate::db::bulk::{Cell, Kind};

    table! {
        /// A row of the test.
        pub(crate) struct TreeRow as "t";
        const TREE = "tree";
        fn tree_cells(key: i64, name: &str) {
            let doubled = 2 * key;
        }
        key tree_key: i64 = key,
        key_only place: i64 = doubled,
        name: String = name,
        write height: f64 = 1.5,
        once_read kind: i64 = true,
        once seed: Vec<u8> = Vec::new(),
    }

    #[test]
    fn one_list_gives_names_kinds_and_cells() {
        let expected = [
            ("tree_key", Kind::Int),
            ("place", Kind::Int),
            ("name", Kind::Text),
            ("height", Kind::Real),
            ("kind", Kind::Int),
            ("seed", Kind::Bytes),
        ];
        assert_eq!(TREE.columns, expected);
        assert_eq!((TREE.name, TREE.keys, TREE.insert_only), ("tree", 2, 2));
        let cells = [
            Cell::Int(7),
            Cell::Int(14),
            Cell::Text("oak".to_owned()),
            Cell::Real(1.5),
            Cell::Int(1),
            Cell::Bytes(Vec::new()),
        ];
        assert_eq!(tree_cells(7, "oak"), cells);
        assert_eq!(TreeRow::COLUMNS, "t.tree_key, t.name, t.kind");
        let TreeRow {
            tree_key,
            name,
            kind,
        } = TreeRow {
            tree_key: 7,
            name: "oak".to_owned(),
            kind: 1,
        };
        assert_eq!((tree_key, name.as_str(), kind), (7, "oak", 1));
    }
}
