//! A partition with very many open jobs.

use std::time::Duration;

use headway::v1::BatchCreateJobsEntry;
use headway_broker::Queue;
use headway_client::{JobBuilder, JobName, TaskBuilder};
use headway_tests::{BackEnd, Deployment, Options, SECOND, numbers};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use serde_json::json;

use crate::measure::{Measured, create};

on_both!(beside_a_hundred_thousand_open_jobs with usual_sweeps);

/// Jobs that are created, in one request.
const CREATED: u32 = 1000;
/// Jobs of each kind that are copied from one that was created: creating as many takes minutes
/// without optimisation.
const COPIED: u32 = 50_000;
/// Jobs that one statement copies, so that no lock is held for long.
const COPIED_AT_ONCE: u32 = 5000;
/// The tables with rows of theirs.
const TABLES: [&str; 4] = ["job", "job_progress", "batch", "page"];
/// How far below the key of its model a copy has its own: no job was created there.
const KEYS_BELOW: i64 = 1_000_000_000_000;

/// The usual settings: the harness sweeps more often.
fn usual_sweeps(options: &mut Options) {
    options.config.sweep_interval = Duration::from_secs(1);
    options.config.outbox_after = Duration::from_secs(5);
}

async fn beside_a_hundred_thousand_open_jobs(d: Deployment) {
    let mut measured = Measured::with_worker(&d).await;

    // Single tasks whose messages lie in a pipe without consumers.
    let task = |number: u32| TaskBuilder::new(SECOND, "number").json(&json!(number));
    let entry = |number: u32| BatchCreateJobsEntry {
        job_id: format!("sent-{number}"),
        spec: Some(JobBuilder::new(task(number)).build()),
        ..BatchCreateJobsEntry::default()
    };
    let entries = (0..CREATED).map(entry).collect();
    let created = d.client().create_jobs("crowd", entries).await.unwrap();
    assert!(created.iter().all(Result::is_ok));
    // Batches that want more of a pipe than its limit gives: each takes part whenever credit is
    // shared out.
    d.client().limit_pipe(SECOND, 1, 0.0).await.unwrap();
    let batch = JobBuilder::new(numbers(100, 100).item(SECOND, "number")).build();
    let waiting = create(&d, "crowd", "waiting", batch).await;
    d.watch_until(&waiting, "it is split", |job| {
        job.progress.unwrap_or_default().items_known == 100
    })
    .await;

    let database = d.database().await.unwrap();
    let sent = JobName::new("crowd", "sent-0").unwrap();
    for model in [&sent, &waiting] {
        copy(&d, &database, model).await;
    }
    measured.beside(&d).await;

    let open = d.client().count_jobs("crowd").await.unwrap();
    let open: i64 = open.iter().map(|state| state.job_count).sum();
    assert_eq!(open, i64::from(CREATED + 1 + 2 * COPIED));
    let second = Queue::Pipe(SECOND.to_owned());
    d.broker().purge(&second).await.unwrap();
    // Nobody is left when jobs are measured alone once more.
    for table in TABLES {
        let sql = format!(
            "DELETE FROM {table} WHERE job_key < \
             (SELECT job_key FROM job WHERE partition_id = 'crowd' AND job_id = 'sent-0') - {KEYS_BELOW} / 2"
        );
        database.execute_unprepared(&sql).await.unwrap();
    }
    database.close().await.unwrap();
    measured.judge(&d).await;
}

/// Copies the rows of a job.
async fn copy(d: &Deployment, database: &DatabaseConnection, model: &JobName) {
    let (uid, number) = match d.back_end() {
        BackEnd::Embedded => ("randomblob(16)", "CAST(n AS TEXT)"),
        BackEnd::Cluster => ("decode(md5(job_id || n), 'hex')", "n"),
    };
    let key = format!("job_key - {KEYS_BELOW} - n");
    let id = format!("job_id || '-copy-' || {number}");
    let own = [
        ("job_key", key.as_str()),
        ("uid", uid),
        ("job_id", &id),
        ("shard", "n % 4"),
    ];
    let id = model.job();
    let of = format!("(SELECT job_key FROM job WHERE partition_id = 'crowd' AND job_id = '{id}')");
    for table in TABLES {
        let columns = columns(d, database, table).await;
        let values = columns.iter().map(|column| {
            let own = own.iter().find(|(name, _)| name == column);
            own.map_or(column.as_str(), |(_, value)| value)
        });
        let (names, values) = (columns.join(", "), values.collect::<Vec<_>>().join(", "));
        for first in (0..COPIED).step_by(COPIED_AT_ONCE as usize) {
            let last = first + COPIED_AT_ONCE;
            let sql = format!(
                "INSERT INTO {table} ({names}) WITH RECURSIVE numbers(n) AS \
                 (SELECT {first} + 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}) \
                 SELECT {values} FROM {table}, numbers WHERE job_key = {of}"
            );
            database.execute_unprepared(&sql).await.unwrap();
        }
    }
}

/// The columns of a table.
async fn columns(d: &Deployment, database: &DatabaseConnection, table: &str) -> Vec<String> {
    let sql = match d.back_end() {
        BackEnd::Embedded => format!("SELECT name FROM pragma_table_info('{table}')"),
        BackEnd::Cluster => format!(
            "SELECT column_name AS name FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = '{table}'"
        ),
    };
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let rows = database.query_all_raw(statement).await.unwrap();
    let names = rows.iter().map(|row| row.try_get("", "name").unwrap());
    names.collect()
}
