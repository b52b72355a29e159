//! The error codes of both databases: what each means, and whether its connection may be used
//! again. The one place that knows them. docs/DATABASE_ERRORS.md shows this table, and a test holds
//! both together.
//!
//! Only errors of the data may refuse work. A code that is not listed counts as a fault of the
//! database: the work waits and is tried again on a new connection.

use std::borrow::Cow;

/// What an error says about the statement that caused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The database cannot store this data. The same data is refused again.
    Data,
    /// A row with this key exists.
    Duplicate,
    /// The database cannot do it now. The same statement may succeed later.
    Wait,
}

/// One code, or one class of codes, of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// A SQLSTATE or its class of two characters; on SQLite a result code.
    pub code: &'static str,
    /// What the database calls it.
    pub name: &'static str,
    /// What it means.
    pub meaning: Meaning,
    /// Whether the connection is closed, and with it every pooled connection that is as old.
    pub close: bool,
}

const fn data(code: &'static str, name: &'static str) -> Entry {
    entry(code, name, Meaning::Data, false)
}

const fn duplicate(code: &'static str, name: &'static str) -> Entry {
    entry(code, name, Meaning::Duplicate, false)
}

/// It passes, and the connection is good.
const fn wait(code: &'static str, name: &'static str) -> Entry {
    entry(code, name, Meaning::Wait, false)
}

/// It may pass on a new connection.
const fn renew(code: &'static str, name: &'static str) -> Entry {
    entry(code, name, Meaning::Wait, true)
}

const fn entry(code: &'static str, name: &'static str, meaning: Meaning, close: bool) -> Entry {
    Entry {
        code,
        name,
        meaning,
        close,
    }
}

/// PostgreSQL. A whole code goes before its class.
pub const POSTGRES: &[Entry] = &[
    data("22", "data exception"),
    data("23", "integrity constraint violation"),
    duplicate("23505", "unique violation"),
    data("54000", "program limit exceeded, as for an index entry"),
    wait("40", "serialization failure, deadlock"),
    renew("40003", "statement completion unknown"),
    wait("53100", "disk full"),
    renew("53", "out of memory, too many connections"),
    wait("55", "lock not available, object in use"),
    wait("57014", "statement timeout, query cancelled"),
    renew("57", "shutdown, crash, cannot connect now"),
    renew("58", "I/O error"),
    renew("08", "connection lost"),
    renew("25006", "read-only transaction, as on a standby"),
    renew("25", "invalid transaction state, idle in transaction"),
    renew("0A000", "cached plan must not change result type"),
    renew("26000", "prepared statement does not exist"),
    renew("42P05", "prepared statement exists already"),
    renew("42", "unknown table or column, no privilege"),
    renew("28", "login refused"),
    renew("3D000", "database does not exist"),
    renew("3F000", "schema does not exist"),
    wait("P0001", "raised by a trigger or function"),
    renew("XX", "internal error, data corrupted"),
];

/// SQLite. An extended code goes before its primary code.
pub const SQLITE: &[Entry] = &[
    data("18", "TOOBIG"),
    data("19", "CONSTRAINT"),
    duplicate("1555", "CONSTRAINT_PRIMARYKEY"),
    duplicate("2067", "CONSTRAINT_UNIQUE"),
    duplicate("2579", "CONSTRAINT_ROWID"),
    data("20", "MISMATCH"),
    wait("5", "BUSY"),
    wait("6", "LOCKED"),
    wait("9", "INTERRUPT"),
    renew("13", "FULL"),
    renew("10", "IOERR"),
    renew("7", "NOMEM"),
    renew("8", "READONLY"),
    renew("14", "CANTOPEN"),
    renew("11", "CORRUPT"),
    renew("26", "NOTADB"),
    renew("17", "SCHEMA"),
    renew("1", "ERROR, as for an unknown table or column"),
];

/// What holds for a code that no table lists.
pub const UNLISTED: Entry = renew("other", "every other code");

/// What a code of either database means. SQLSTATEs have five characters, SQLite's codes are
/// shorter.
pub fn look_up(code: &str) -> Entry {
    let (table, wider) = match code.len() {
        5 => (POSTGRES, Cow::from(code.get(..2).unwrap_or_default())),
        _ => {
            let primary = code.parse::<u32>().map(|code| (code & 0xff).to_string());
            (SQLITE, Cow::from(primary.unwrap_or_default()))
        }
    };
    let find = |wanted: &str| table.iter().find(|entry| entry.code == wanted);
    *find(code).or_else(|| find(&wider)).unwrap_or(&UNLISTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table in the documentation.
    fn documented(table: &[Entry]) -> String {
        let rows = table.iter().chain([&UNLISTED]).map(|entry| {
            let meaning = match entry.meaning {
                Meaning::Data => "data",
                Meaning::Duplicate => "duplicate",
                Meaning::Wait => "wait",
            };
            let connection = if entry.close { "closed" } else { "kept" };
            format!(
                "| {} | {} | {meaning} | {connection} |\n",
                entry.code, entry.name
            )
        });
        rows.collect()
    }

    #[test]
    fn the_documentation_shows_these_tables() {
        let page = include_str!("../../../../docs/DATABASE_ERRORS.md");
        for table in [POSTGRES, SQLITE] {
            let rows = documented(table);
            assert!(
                page.contains(&rows),
                "docs/DATABASE_ERRORS.md should have:\n{rows}"
            );
        }
    }

    #[test]
    fn a_whole_code_goes_before_its_class() {
        let of = |code| {
            let entry = look_up(code);
            (entry.meaning, entry.close)
        };
        assert_eq!(of("22021"), (Meaning::Data, false));
        assert_eq!(of("23514"), (Meaning::Data, false));
        assert_eq!(of("23505"), (Meaning::Duplicate, false));
        assert_eq!(of("54000"), (Meaning::Data, false));
        assert_eq!(of("54001"), (Meaning::Wait, true));
        assert_eq!(of("53100"), (Meaning::Wait, false));
        assert_eq!(of("53300"), (Meaning::Wait, true));
        assert_eq!(of("25006"), (Meaning::Wait, true));
        assert_eq!(of("42P05"), (Meaning::Wait, true));
        assert_eq!(of("ZZ999"), (Meaning::Wait, true));
        // SQLITE_CONSTRAINT_CHECK, SQLITE_IOERR_WRITE, SQLITE_READONLY_DBMOVED
        assert_eq!(of("275"), (Meaning::Data, false));
        assert_eq!(of("2067"), (Meaning::Duplicate, false));
        assert_eq!(of("778"), (Meaning::Wait, true));
        assert_eq!(of("1032"), (Meaning::Wait, true));
        assert_eq!(of("5"), (Meaning::Wait, false));
        assert_eq!(of("none"), (Meaning::Wait, true));
    }
}
