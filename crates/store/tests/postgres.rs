//! The store suite on PostgreSQL, and what is its own: row locks and indexes. Needs
//! `HEADWAY_TEST_DATABASE_URL`. Each test has a schema of its own, which is dropped at its end.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

#[macro_use]
mod suite;
#[path = "postgres/mod.rs"]
mod dialect;
#[path = "postgres/failover.rs"]
mod failover;
#[path = "postgres/server.rs"]
mod server;

use std::time::Duration;

use headway_runtime::tasks;
use headway_store::{StoreConfig, StoreUrl};
use sea_orm::{ConnectOptions, ConnectionTrait, Database};
use suite::{Fixture, PATIENCE};
use uuid::Uuid;

/// Gives a case a schema, and drops the schema whatever happens.
async fn run<Ended>(case: impl FnOnce(Fixture) -> Ended + Send + 'static)
where
    Ended: Future<Output = ()> + Send + 'static,
{
    let Ok(url) = std::env::var("HEADWAY_TEST_DATABASE_URL") else {
        panic!(
            "HEADWAY_TEST_DATABASE_URL is not set: run `make test`, which starts a private PostgreSQL"
        )
    };
    // Nobody pulls the plug on this server: a commit need not wait for the disk.
    let mark = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{mark}options[synchronous_commit]=off");
    let config = StoreConfig {
        schema: format!("test_{}", Uuid::new_v4().simple()),
        connections: 8,
        lease: Duration::from_secs(3600),
        ..StoreConfig::new(StoreUrl::new(url.as_str()))
    };
    let mut raw = ConnectOptions::new(url.as_str());
    raw.sqlx_logging(false)
        .max_connections(4)
        .set_schema_search_path(config.schema.as_str());
    let schema = config.schema.clone();
    let played = tasks::spawn(async move { case(Fixture::connect(config, raw).await).await });
    let stop = played.abort_handle();
    let ended = tokio::time::timeout(PATIENCE, played).await;
    stop.abort();
    let mut options = ConnectOptions::new(url);
    options.sqlx_logging(false).max_connections(1);
    let admin = Database::connect(options).await.unwrap();
    admin
        .execute_unprepared(&format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE"))
        .await
        .unwrap();
    ended.unwrap().unwrap();
}

store_suite!(run);

cases! { run, dialect;
    locks: jobs_held_elsewhere_are_left, reports_wait_for_their_turn_when_told_to, a_job_held_elsewhere_is_skipped_by_timers, resumed_while_it_was_held,
        a_split_resumed_while_it_was_held, refused_texts;
    indexes: hot_queries_use_indexes, what_waits_is_found_by_index, changed_partitions_are_found_by_index,
        statistics_follow_the_growth_of_tables;
    texts: orders_are_of_bytes;
    altered: columns_are_added_under_a_running_job, a_column_changes_its_type, prepared_statements_are_lost;
    outages: read_only_for_a_while, no_connection_for_a_while, statements_have_a_time_limit, slow_reads_do_not_keep_writes_waiting, every_listed_code,
        all_connections_are_cut;
    lost_answers: a_repeated_call_leads_to_the_same_rows, a_repeated_creation_makes_one_job, a_job_that_could_not_be_counted;
    refusals: a_deadlock, a_failure_to_serialize, a_session_is_terminated;
    late: what_commits_late_is_not_skipped, a_partition_that_commits_late_is_found, events_of_another_cluster_come_first;
}
