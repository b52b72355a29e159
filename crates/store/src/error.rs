//! What can go wrong with a database, sorted by what helps; the only place that knows the codes of either.

use sea_orm::{DbErr, RuntimeErr};

/// Why a store operation failed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The request breaks a rule.
    #[error(transparent)]
    Domain(#[from] headway_domain::Error),
    /// The database cannot be reached or is overloaded; trying again helps.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database refuses the data; trying again does not help.
    #[error("the database refuses the data: {0}")]
    Refused(String),
    /// Events after this place in the audit log are not kept any more, or it is one of a database that was restored since. Trying again
    /// does not help.
    #[error("the events after this cursor are not kept any more")]
    CursorExpired {
        /// The place from which on events are kept.
        earliest: crate::rows::event::Position,
    },
    /// The tables are those of a version that does not let this one use them. Trying again does not help.
    #[error("{0}")]
    Incompatible(String),
    /// A row says what no version of Headway writes, or a statement is wrong. Trying again does not help.
    #[error("the database contradicts itself: {0}")]
    Broken(String),
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match &error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self::Unavailable(error.to_string()),
            DbErr::Exec(RuntimeErr::SqlxError(inner))
            | DbErr::Query(RuntimeErr::SqlxError(inner)) => from_sqlx(inner),
            _ => Self::Broken(error.to_string()),
        }
    }
}

fn from_sqlx(error: &sea_orm::sqlx::Error) -> StoreError {
    use sea_orm::sqlx::Error as Sqlx;
    let text = error.to_string();
    match error {
        Sqlx::Io(_)
        | Sqlx::Tls(_)
        | Sqlx::Protocol(_)
        | Sqlx::PoolTimedOut
        | Sqlx::PoolClosed
        | Sqlx::WorkerCrashed
        | Sqlx::BeginFailed => StoreError::Unavailable(text),
        Sqlx::Database(database) => match database.code().as_deref() {
            Some(code) if is_passing(code) => StoreError::Unavailable(text),
            Some(code) if code.starts_with("22") || code == "54000" => StoreError::Refused(text),
            // SQLITE_TOOBIG, SQLITE_MISMATCH
            Some("18" | "20") => StoreError::Refused(text),
            _ => StoreError::Broken(text),
        },
        _ => StoreError::Broken(text),
    }
}

/// PostgreSQL: connection (08), resources (53), operator intervention (57), system error (58),
/// serialization and deadlock (40), lock not available and idle timeouts (55P03, 25P0x).
/// SQLite: BUSY (5), LOCKED (6), NOMEM (7), IOERR (10), FULL (13) and CANTOPEN (14), with their extended codes.
fn is_passing(code: &str) -> bool {
    if code.len() == 5 {
        return ["08", "53", "57", "58", "40"]
            .iter()
            .any(|class| code.starts_with(class))
            || matches!(code, "55P03" | "25P03" | "25P04");
    }
    code.parse::<u32>()
        .is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 7 | 10 | 13 | 14))
}
