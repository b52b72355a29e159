//! What can go wrong with a database, sorted by what helps.

pub mod codes;

use sea_orm::{DbErr, RuntimeErr, sqlx};

use codes::{Entry, Meaning};

/// Why a store operation failed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The request breaks a rule.
    #[error(transparent)]
    Domain(#[from] headway_domain::Error),
    /// The database cannot do it now: it is away, overloaded, full, read-only, or in a state that nobody foresaw. Trying
    /// again helps.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database refuses the data; trying again does not help.
    #[error("the database refuses the data: {0}")]
    Refused(String),
    /// A row with this key exists: another call wrote it.
    #[error("another row has this key: {0}")]
    Duplicate(String),
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
    /// A row says what this version of Headway does not write. Trying again does not help.
    #[error("the database contradicts itself: {0}")]
    Broken(String),
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// Whether the data of the call is at fault, so that the same data is refused again.
    pub fn is_of_data(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        let text = error.to_string();
        match sqlx_error(&error) {
            // The database answered, but the row does not fit our types.
            Some(sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => Self::Broken(text),
            Some(error) => match entry(error).meaning {
                Meaning::Data => Self::Refused(text),
                Meaning::Duplicate => Self::Duplicate(text),
                Meaning::Wait => Self::Unavailable(text),
            },
            None if matches!(error, DbErr::Type(_) | DbErr::Json(_)) => Self::Broken(text),
            None => Self::Unavailable(text),
        }
    }
}

/// Whether the connections that are as old as this error must not be used again.
pub(crate) fn closes_connections(error: &DbErr) -> bool {
    match error {
        // No connection was to be had.
        DbErr::ConnectionAcquire(_) => false,
        _ => sqlx_error(error).is_some_and(|error| entry(error).close),
    }
}

fn sqlx_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(inner))
        | DbErr::Exec(RuntimeErr::SqlxError(inner))
        | DbErr::Query(RuntimeErr::SqlxError(inner)) => Some(inner),
        _ => None,
    }
}

fn entry(error: &sqlx::Error) -> Entry {
    use sqlx::Error as Sqlx;
    let no_code = |meaning, close| Entry {
        meaning,
        close,
        ..codes::UNLISTED
    };
    match error {
        Sqlx::Database(database) => database
            .code()
            .map_or(codes::UNLISTED, |code| codes::look_up(&code)),
        // A value that the protocol cannot carry.
        Sqlx::Encode(_) => no_code(Meaning::Data, false),
        Sqlx::PoolTimedOut | Sqlx::PoolClosed => no_code(Meaning::Wait, false),
        _ => codes::UNLISTED,
    }
}
