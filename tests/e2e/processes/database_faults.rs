//! A database that refuses for a while, or changes, in the middle of a job.

use std::time::Duration;

use headway::v1::JobState;
use headway_client::JobName;
use headway_tests::{Cluster, ClusterOptions, Namespace, outcome_counts, range, run_cluster};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

const ITEMS: u32 = 2000;

fn options() -> ClusterOptions {
    ClusterOptions::new(env!("CARGO_BIN_EXE_headway-test-process")).with(|options| {
        options.delay = Duration::from_millis(5);
    })
}

/// Runs a statement past Headway.
async fn sql(namespace: &Namespace, statement: &str) {
    let database = namespace.database().await.unwrap();
    database.execute_unprepared(statement).await.unwrap();
    database.close().await.unwrap();
}

/// As behind an address that leads to a standby until it is promoted: writes are refused, and what
/// was connected meanwhile stays read-only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_only_for_a_second() {
    let outside = Namespace::new();
    let role = format!("role_{}", Uuid::new_v4().simple());
    let create = format!("CREATE ROLE {role} LOGIN SUPERUSER PASSWORD 'x'");
    sql(&outside, &create).await;
    let (_, place) = outside.database_url.rsplit_once('@').unwrap();
    let url = format!("postgres://{role}:x@{place}");
    let options = options().with(|options| {
        options
            .variables
            .push(("HEADWAY_DATABASE_URL".to_owned(), url));
    });
    let user = role.clone();
    run_cluster(options, |cluster| async move {
        let namespace = cluster.namespace().unwrap();
        let name = cluster.create("job", range(ITEMS, 100).build()).await;
        cluster.ran(300).await;
        let refuse = format!("ALTER ROLE {user} SET default_transaction_read_only = on");
        sql(namespace, &refuse).await;
        let cut = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{user}'"
        );
        sql(namespace, &cut).await;
        // This is the time without a writable database, not a wait for anything.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let accept = format!("ALTER ROLE {user} RESET default_transaction_read_only");
        sql(namespace, &accept).await;
        all_done(&cluster, &name).await;
    })
    .await;
    sql(&outside, &format!("DROP ROLE {role}")).await;
}

/// What a migration of the next version does while this one runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_added() {
    run_cluster(options(), |cluster| async move {
        let namespace = cluster.namespace().unwrap();
        let name = cluster.create("job", range(ITEMS, 100).build()).await;
        cluster.ran(300).await;
        for table in ["job_progress", "page", "item", "batch", "job", "outbox"] {
            let add = format!("ALTER TABLE {table} ADD COLUMN added bigint NOT NULL DEFAULT 0");
            sql(namespace, &add).await;
            cluster.job(&name).await;
        }
        all_done(&cluster, &name).await;
    })
    .await;
}

async fn all_done(cluster: &Cluster, name: &JobName) {
    let job = cluster.finish(name, JobState::Completed).await;
    assert_eq!(
        outcome_counts(&job),
        [i64::from(ITEMS), i64::from(ITEMS), 0, 0]
    );
    cluster.items().assert_at_least_once(ITEMS);
    assert_eq!(cluster.job(name).await.state(), JobState::Completed);
}
