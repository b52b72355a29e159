//! Statements: sent and counted, and the parts of them that the dialects write differently.

use std::{panic::Location, sync::atomic::Ordering, time::Duration};

use sea_orm::{ConnectionTrait, FromQueryResult, QueryResult, QueryTrait, Statement, Value};

use crate::{
    db::{
        handle::Db,
        tx::{Durability, trace_commit},
    },
    error::StoreError,
};

impl Db {
    /// A statement that is about to be sent, which is counted here.
    fn statement<V: IntoIterator<Item = Value>>(
        &self,
        sql: impl Into<String>,
        values: V,
    ) -> Statement {
        self.statements.fetch_add(1, Ordering::Relaxed);
        Statement::from_sql_and_values(self.backend(), sql.into(), values)
    }

    /// The text and the values of a statement that sea-orm builds for an entity.
    pub(crate) fn built(&self, query: &impl QueryTrait) -> (String, Vec<Value>) {
        let statement = query.build(self.backend());
        let values = statement.values.map(|values| values.0);
        (statement.sql, values.unwrap_or_default())
    }

    /// The first row that a query of an entity finds.
    pub(crate) async fn find_one<T: FromQueryResult>(
        &self,
        on: &impl ConnectionTrait,
        query: &impl QueryTrait,
    ) -> Result<Option<T>, StoreError> {
        let (sql, values) = self.built(query);
        self.one(on, sql, values).await
    }

    /// The rows that a query of an entity finds.
    pub(crate) async fn find_all<T: FromQueryResult>(
        &self,
        on: &impl ConnectionTrait,
        query: &impl QueryTrait,
    ) -> Result<Vec<T>, StoreError> {
        let (sql, values) = self.built(query);
        self.all(on, sql, values).await
    }

    /// Runs a change of entities; the number of rows it changed.
    pub(crate) async fn apply(
        &self,
        on: &impl ConnectionTrait,
        query: &impl QueryTrait,
    ) -> Result<u64, StoreError> {
        let (sql, values) = self.built(query);
        self.run(on, sql, values).await
    }

    /// The rows of a statement, for callers that read them themselves.
    pub(crate) async fn rows(
        &self,
        on: &impl ConnectionTrait,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, StoreError> {
        let rows = on.query_all_raw(self.statement(sql, values)).await;
        rows.map_err(|error| self.pools.fresh.note(error))
    }

    /// The first row of a statement.
    pub(crate) async fn row(
        &self,
        on: &impl ConnectionTrait,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<QueryResult>, StoreError> {
        let row = on.query_one_raw(self.statement(sql, values)).await;
        row.map_err(|error| self.pools.fresh.note(error))
    }

    pub(crate) async fn all<T: FromQueryResult>(
        &self,
        on: &impl ConnectionTrait,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.rows(on, sql, values).await?;
        rows.iter()
            .map(|row| Ok(T::from_query_result(row, "")?))
            .collect()
    }

    pub(crate) async fn one<T: FromQueryResult>(
        &self,
        on: &impl ConnectionTrait,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<T>, StoreError> {
        let row = self.row(on, sql, values).await?;
        row.map(|row| Ok(T::from_query_result(&row, "")?))
            .transpose()
    }

    /// The column `value` of the first row.
    pub(crate) async fn one_int(
        &self,
        on: &impl ConnectionTrait,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<i64>, StoreError> {
        let row = self.row(on, sql, values).await?;
        row.map(|row| Ok(row.try_get::<i64>("", "value")?))
            .transpose()
    }

    /// Runs a statement; the number of rows it changed.
    pub(crate) async fn run(
        &self,
        on: &impl ConnectionTrait,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, StoreError> {
        let done = on.execute_raw(self.statement(sql, values)).await;
        let done = done.map_err(|error| self.pools.fresh.note(error))?;
        Ok(done.rows_affected())
    }

    /// Runs a statement in a transaction of its own, without the round trips that begin and end
    /// one.
    #[track_caller]
    pub(crate) fn run_alone(
        &self,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> impl Future<Output = Result<u64, StoreError>> {
        let values = values.into_iter().collect();
        self.run_alone_at(Location::caller(), sql.into(), values)
    }

    async fn run_alone_at(
        &self,
        place: &'static Location<'static>,
        sql: String,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
        if !self.is_sqlite() {
            let changed = self.run(&self.pools.process, sql, values).await;
            trace_commit(place, changed.is_ok());
            if changed.is_ok() {
                self.pools.fresh.committed();
            }
            return changed;
        }
        let tx = self.write(Durability::Process).await?;
        let changed = self.run(&*tx, sql, values).await?;
        tx.commit_at(place).await?;
        Ok(changed)
    }

    /// The rows of a changing statement in a transaction of its own. For PostgreSQL.
    #[track_caller]
    pub(crate) fn rows_alone(
        &self,
        sql: String,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Vec<QueryResult>, StoreError>> {
        let place = Location::caller();
        async move {
            let rows = self.rows(&self.pools.full, sql, values).await;
            trace_commit(place, rows.is_ok());
            if rows.is_ok() {
                self.pools.fresh.committed();
            }
            rows
        }
    }

    /// ` FOR UPDATE` where the dialect has row locks.
    pub(crate) fn for_update(&self) -> &'static str {
        if self.is_sqlite() { "" } else { " FOR UPDATE" }
    }

    /// A text column that is compared by its bytes, whatever the collation of the database.
    pub(crate) fn bytewise(&self, column: &str) -> String {
        let collation = if self.is_sqlite() { "BINARY" } else { "\"C\"" };
        format!("{column} COLLATE {collation}")
    }

    /// A text column that is ordered by its bytes, for a comparison with a column in the database's
    /// own order. Without it PostgreSQL cannot use the other column's index.
    pub(crate) fn in_default_order(&self, column: &str) -> String {
        match self.is_sqlite() {
            true => column.to_owned(),
            false => format!("{column} COLLATE \"default\""),
        }
    }

    /// ` FOR UPDATE SKIP LOCKED` where the dialect has row locks.
    pub(crate) fn skip_locked(&self) -> &'static str {
        if self.is_sqlite() {
            ""
        } else {
            " FOR UPDATE SKIP LOCKED"
        }
    }
}

/// Where nothing was committed for so long, a probe changes a row.
const PROBE_AFTER: Duration = Duration::from_secs(5);

impl Db {
    /// Whether the database can be read, and takes changes: asks by a small change where nothing
    /// else was committed lately.
    pub(crate) async fn probe(&self) -> Result<(), StoreError> {
        if self.pools.fresh.committed_within(PROBE_AFTER) {
            let sql = "SELECT count(*) AS value FROM setting";
            self.one_int(self.reader(), sql, []).await?;
            return Ok(());
        }
        let sql = "INSERT INTO setting (name, value) VALUES ('probe', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        let tx = self.write(Durability::Process).await?;
        self.run(&*tx, sql, [self.now().to_string().into()]).await?;
        tx.commit().await
    }
}
