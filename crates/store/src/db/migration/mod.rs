//! The tables, made by migrations that are never changed once published. A migration only adds what
//! the release before does not look at: a table, or a column with a default. What nothing needs any
//! more is taken away a release later, by a migration that raises `schema_compat` (see
//! [`super::compat`]).
//!
//! Every column is NOT NULL: 0 and empty stand for "none". That lets many rows be bound as arrays.
//! Times are microseconds since 1970 by the database's clock.

mod changes;
mod compatibility;
mod events;
mod finding;
mod kernel;
mod partitions;
mod pipes;
mod redriving;
mod retention;
mod schedules;
mod settling;
mod sharing;
mod sorting;
mod split_retry;
mod tree;
mod unreadable;
mod waiting;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

use super::compat::{self, Tables};
use crate::error::StoreError;

/// A key that no other application is likely to lock: the ASCII bytes of "headway".
pub(crate) const LOCK: i64 = 0x0068_6561_6477_6179;

pub(crate) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(kernel::Kernel),
            Box::new(events::Events),
            Box::new(tree::Tree),
            Box::new(waiting::Waiting),
            Box::new(partitions::Partitions),
            Box::new(finding::Finding),
            Box::new(retention::Retention),
            Box::new(schedules::Schedules),
            Box::new(sharing::Sharing),
            Box::new(sorting::Sorting),
            Box::new(redriving::Redriving),
            Box::new(changes::Changes),
            Box::new(unreadable::Unreadable),
            Box::new(compatibility::Compatibility),
            Box::new(split_retry::SplitRetry),
            Box::new(settling::Settling),
            Box::new(pipes::Pipes),
        ]
    }
}

/// Applies what is missing; processes that start together take turns, also to make the schema: IF
/// NOT EXISTS alone lets one of them fail.
pub(crate) async fn run_postgres(
    pool: &DatabaseConnection,
    schema: &str,
) -> Result<(), StoreError> {
    let turn = pool.begin().await?;
    turn.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({LOCK})"))
        .await?;
    pool.execute_unprepared(&format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\""))
        .await?;
    if compat::look(pool).await? == Tables::Known {
        Migrator::up(pool, None).await?;
    }
    turn.commit().await?;
    Ok(())
}

/// Applies what is missing, all or nothing: a process that is killed meanwhile, or one that starts
/// at the same time, must not leave or find half of the tables.
pub(crate) async fn run_sqlite(pool: &DatabaseConnection) -> Result<(), StoreError> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let turn = pool.begin_with_options(options).await?;
    if compat::look(&turn).await? == Tables::Known {
        Migrator::up(&turn, None).await?;
    }
    turn.commit().await?;
    Ok(())
}
