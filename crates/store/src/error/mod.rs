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
    /// The database cannot do it now: it is away, overloaded, full, read-only, or in a state that
    /// nobody foresaw. Trying again helps.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database refuses the data; trying again does not help.
    #[error("the database refuses the data: {0}")]
    Refused(String),
    /// A row with this key exists: another call wrote it.
    #[error("another row has this key: {0}")]
    Duplicate(String),
    /// Events after this place in the audit log are not kept any more, or it is one of a database
    /// that was restored since. Trying again does not help.
    #[error("the events after this cursor are no longer kept")]
    CursorExpired {
        /// The place from which on events are kept.
        earliest: crate::events::position::Position,
    },
    /// The tables are those of a version that does not let this one use them. Trying again does not
    /// help.
    #[error("{0}")]
    Incompatible(String),
    /// A row says what this version of Headway does not write. Trying again does not help.
    #[error("the rows of the database contradict each other: {0}")]
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
            // Nobody's data is at fault where no session was begun, whatever the code.
            Some(_) if matches!(error, DbErr::Conn(_)) => Self::Unavailable(text),
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

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, error::Error, fmt, sync::Arc};

    use sea_orm::sqlx::error::{DatabaseError, ErrorKind};

    use super::*;

    /// An error as a driver makes it.
    #[derive(Debug)]
    struct Coded(String);

    impl fmt::Display for Coded {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "code {}", self.0)
        }
    }

    impl Error for Coded {}

    impl DatabaseError for Coded {
        fn message(&self) -> &str {
            &self.0
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(Cow::from(self.0.as_str()))
        }

        fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    fn inner(code: &str) -> RuntimeErr {
        let coded = Box::new(Coded(code.to_owned()));
        RuntimeErr::SqlxError(Arc::new(sqlx::Error::Database(coded)))
    }

    fn assert_means(code: &str, meaning: Meaning, close: bool) {
        for error in [DbErr::Exec(inner(code)), DbErr::Query(inner(code))] {
            assert_eq!(closes_connections(&error), close, "{code}: {error}");
            let error = StoreError::from(error);
            let right = match meaning {
                Meaning::Data => error.is_of_data(),
                Meaning::Duplicate => matches!(error, StoreError::Duplicate(_)),
                Meaning::Wait => error.is_passing(),
            };
            assert!(right, "{code}: {error}");
        }
        // A server that refuses a session says nothing about what was to be stored.
        assert!(StoreError::from(DbErr::Conn(inner(code))).is_passing());
    }

    #[test]
    fn every_listed_code_is_what_the_table_says() {
        for entry in codes::SQLITE {
            assert_means(entry.code, entry.meaning, entry.close);
        }
        for entry in codes::POSTGRES {
            let code = format!("{:0<5}", entry.code);
            assert_means(&code, entry.meaning, entry.close);
        }
        for other in ["15", "21", "22", "99", "ZZ000", ""] {
            assert_means(other, Meaning::Wait, true);
        }
    }

    /// SQLite gives extended codes: the primary code and, above its byte, what exactly it was.
    #[test]
    fn an_extended_code_is_what_its_primary_code_is() {
        for entry in codes::SQLITE {
            let Some(primary) = entry.code.parse::<u32>().ok().filter(|code| *code < 256) else {
                continue;
            };
            for more in 1..39 {
                let code = (primary + (more << 8)).to_string();
                if !codes::SQLITE.iter().any(|entry| entry.code == code) {
                    assert_means(&code, entry.meaning, entry.close);
                }
            }
        }
    }

    #[test]
    fn faults_of_the_driver_wait() {
        let fault = |error: sqlx::Error| DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)));
        let cut = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        for (error, close) in [
            (fault(sqlx::Error::Io(cut())), true),
            (fault(sqlx::Error::Protocol("nonsense".to_owned())), true),
            (fault(sqlx::Error::WorkerCrashed), true),
            (fault(sqlx::Error::PoolTimedOut), false),
            (fault(sqlx::Error::PoolClosed), false),
        ] {
            assert_eq!(closes_connections(&error), close, "{error}");
            assert!(StoreError::from(error).is_passing());
        }
        let decoded = fault(sqlx::Error::Decode("no such type".into()));
        assert!(matches!(StoreError::from(decoded), StoreError::Broken(_)));
        let encoded = fault(sqlx::Error::Encode("too long".into()));
        assert!(StoreError::from(encoded).is_of_data());
    }
}
