//! Which versions of Headway may use which tables.
//!
//! The level of a version is the number of migrations that it knows. A migration adds to the tables
//! what older versions do not look at, so they go on beside the new version. One that takes
//! something away, a release later, writes into `schema_compat` the oldest level that can use what
//! is left. A version meets tables with migrations that it does not know after a rollback, and
//! before its own upgrade: it uses them if its level is high enough, and says so otherwise.

use sea_orm::{ConnectionTrait, DbBackend, FromQueryResult, Statement};
use sea_orm_migration::MigratorTrait;

use super::migration::Migrator;
use crate::error::StoreError;

#[derive(Debug, FromQueryResult)]
struct AppliedRow {
    version: String,
}

#[derive(Debug, FromQueryResult)]
struct CompatRow {
    oldest_level: i64,
    oldest_version: String,
}

/// What to do with the tables as they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tables {
    /// They are empty, or of this version or an older one: migrate.
    Known,
    /// They are of a newer version that lets this one use them: leave them alone.
    Newer,
}

/// Looks at the tables before they are migrated.
///
/// # Errors
/// [`StoreError::Incompatible`] where this version must not use them.
pub(super) async fn look(db: &impl ConnectionTrait) -> Result<Tables, StoreError> {
    if !has_table(db, "seaql_migrations").await? {
        return Ok(Tables::Known);
    }
    let sql = "SELECT version FROM seaql_migrations ORDER BY version";
    let rows = db.query_all_raw(statement(db, sql)).await?;
    let mut applied = Vec::with_capacity(rows.len());
    for row in &rows {
        applied.push(AppliedRow::from_query_result(row, "")?.version);
    }
    let known = Migrator::migrations();
    let known: Vec<&str> = known.iter().map(|migration| migration.name()).collect();
    let oldest = match has_table(db, "schema_compat").await? {
        true => {
            let sql = "SELECT oldest_level, oldest_version FROM schema_compat WHERE one = 1";
            let row = db.query_one_raw(statement(db, sql)).await?;
            row.map(|row| CompatRow::from_query_result(&row, ""))
                .transpose()?
        }
        false => None,
    };
    judge(&applied, &known, oldest)
}

fn judge(
    applied: &[String],
    known: &[&str],
    oldest: Option<CompatRow>,
) -> Result<Tables, StoreError> {
    let unknown: Vec<&str> = applied
        .iter()
        .map(String::as_str)
        .filter(|name| !known.contains(name))
        .collect();
    let Some(first) = unknown.first() else {
        return Ok(Tables::Known);
    };
    let pending = known
        .iter()
        .find(|name| !applied.iter().any(|applied| applied == *name));
    if let Some(pending) = pending {
        return Err(StoreError::Incompatible(format!(
            "the tables have changes of another line of versions ({first}) and lack one of this version ({pending}); \
             run the version that made them"
        )));
    }
    let level = i64::try_from(known.len()).unwrap_or(i64::MAX);
    match oldest {
        Some(oldest) if oldest.oldest_level <= level => {
            tracing::info!(
                changes = unknown.len(),
                "a newer version made the tables; this version may use them"
            );
            Ok(Tables::Newer)
        }
        Some(oldest) => Err(StoreError::Incompatible(format!(
            "a newer version made the tables, which need Headway {} or newer; this is Headway {}: \
             run that version, or restore a backup of before the upgrade",
            oldest.oldest_version,
            env!("CARGO_PKG_VERSION")
        ))),
        None => Err(StoreError::Incompatible(format!(
            "a newer version made the tables ({first}) and does not say which versions may use them: run that version"
        ))),
    }
}

async fn has_table(db: &impl ConnectionTrait, name: &str) -> Result<bool, StoreError> {
    let sql = match db.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT count(*) AS value FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = $1"
        }
        _ => "SELECT count(*) AS value FROM sqlite_master WHERE type = 'table' AND name = $1",
    };
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [name.into()]);
    let row = db.query_one_raw(statement).await?;
    let count = row.map(|row| row.try_get::<i64>("", "value")).transpose()?;
    Ok(count.unwrap_or(0) > 0)
}

fn statement(db: &impl ConnectionTrait, sql: &str) -> Statement {
    Statement::from_string(db.get_database_backend(), sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 2] = ["one", "two"];

    fn judged(applied: &[&str], oldest: Option<i64>) -> Result<Tables, String> {
        let applied: Vec<String> = applied.iter().map(|name| (*name).to_owned()).collect();
        let oldest = oldest.map(|oldest_level| CompatRow {
            oldest_level,
            oldest_version: "7.0".to_owned(),
        });
        judge(&applied, &KNOWN, oldest).map_err(|error| error.to_string())
    }

    #[test]
    fn tables_of_this_and_older_versions_are_migrated() {
        for applied in [&[][..], &["one"], &["one", "two"]] {
            assert_eq!(judged(applied, None), Ok(Tables::Known));
            assert_eq!(judged(applied, Some(2)), Ok(Tables::Known));
        }
    }

    #[test]
    fn tables_of_a_newer_version_are_used_where_it_says_so() {
        let newer = ["one", "two", "three"];
        assert_eq!(judged(&newer, Some(0)), Ok(Tables::Newer));
        assert_eq!(judged(&newer, Some(2)), Ok(Tables::Newer));
        assert!(judged(&newer, Some(3)).unwrap_err().contains("Headway 7.0"));
        assert!(judged(&newer, None).unwrap_err().contains("three"));
        // Another branch.
        let other = judged(&["one", "three"], Some(0));
        assert!(other.unwrap_err().contains("lack one"));
    }
}
