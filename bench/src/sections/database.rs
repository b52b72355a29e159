//! b: single-row commits, by the driver alone.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use headway_runtime::tasks;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::Bench;
use crate::{report::Row, services::Scope};

const CONNECTIONS: usize = 32;

/// Measures the raw limit of the database.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let services = bench.services()?;
    let schema = Scope::new("b").schema;
    let mut admin = services.database().await?;
    let make = format!(
        "CREATE SCHEMA {schema}; CREATE TABLE {schema}.raw (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL)"
    );
    sqlx::raw_sql(AssertSqlSafe(make))
        .execute(&mut admin)
        .await?;
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        connections.push(services.database().await?);
    }
    let time = bench.sizes.commit_time;
    let begin = Instant::now();
    let committing = connections
        .into_iter()
        .map(|connection| tasks::spawn(commit(connection, schema.clone(), begin + time)));
    let committed = try_join_all(committing).await;
    let elapsed = begin.elapsed();
    let drop = format!("DROP SCHEMA {schema} CASCADE");
    sqlx::raw_sql(AssertSqlSafe(drop))
        .execute(&mut admin)
        .await?;
    admin.close().await?;
    let commits: anyhow::Result<u64> = committed?.into_iter().sum();
    bench.add(Row::new("b.db_commits_per_s", rate(commits?, elapsed)));
    Ok(())
}

fn rate(commits: u64, elapsed: Duration) -> f64 {
    commits as f64 / elapsed.as_secs_f64()
}

async fn commit(
    mut connection: PgConnection,
    schema: String,
    until: Instant,
) -> anyhow::Result<u64> {
    let body = "x".repeat(200);
    let insert = format!("INSERT INTO {schema}.raw (body) VALUES ($1)");
    let mut commits = 0;
    while Instant::now() < until {
        // A statement outside of a transaction is one.
        sqlx::query(AssertSqlSafe(insert.as_str()))
            .bind(body.as_str())
            .execute(&mut connection)
            .await?;
        commits += 1;
    }
    connection.close().await?;
    Ok(commits)
}
