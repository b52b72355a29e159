//! The statements of busy roles find their rows by an index, however many rows there are.
//! PostgreSQL counts how often it used each index and how often it read a whole table.

use std::{collections::BTreeMap, time::Duration};

use headway_domain::{
    JobName, JobState, PartitionId, PipeName,
    error::Action,
    events::Caller,
    pipes::{PipeLimits, Share},
    prerequisites::Prerequisite,
    reports::ItemEvent,
};
use headway_store::{Position, Retry};
use sea_orm::{ConnectionTrait, Statement};

use crate::suite::{
    Fixture, PIPE, batch,
    driver::{Driver, Tree, flat},
    events::visible,
    name, task,
};

/// Rows of each table that have nothing to do with the test.
const CROWD: i64 = 50_000;

/// Copies a row of job `from` so often, with changes that are made of a number `n`.
async fn crowd(f: &Fixture, table: &str, from: i64, changes: &str, numbers: i64) {
    f.sql(format!(
        "INSERT INTO {table} SELECT crowd.* FROM (SELECT t FROM {table} t WHERE t.job_key = {from} LIMIT 1) AS one, \
         generate_series(1, {numbers}) AS n, jsonb_populate_record(one.t, jsonb_build_object({changes})) AS crowd"
    ))
    .await;
}

/// Makes statistics of this test's tables. Those of all would include other tests' tables, which
/// they judge too.
async fn analyze(f: &Fixture) {
    let each = "FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = current_schema()";
    let one = "LOOP EXECUTE format('ANALYZE %I', name); END LOOP";
    f.sql(format!(
        "DO $$ DECLARE name TEXT; BEGIN {each} {one}; END $$"
    ))
    .await;
}

/// Scans of each index, and of each table under `seq:`.
async fn scans(f: &Fixture) -> BTreeMap<String, i64> {
    let schema = &f.config.schema;
    let sql = format!(
        "SELECT indexrelname AS name, idx_scan AS value FROM pg_stat_user_indexes WHERE schemaname = '{schema}' \
         UNION ALL SELECT 'seq:' || relname, seq_scan FROM pg_stat_user_tables WHERE schemaname = '{schema}'"
    );
    let statement = Statement::from_string(f.raw.get_database_backend(), sql);
    let rows = f.raw.query_all_raw(statement).await.unwrap();
    rows.iter()
        .map(|row| {
            (
                row.try_get("", "name").unwrap(),
                row.try_get("", "value").unwrap(),
            )
        })
        .collect()
}

pub(crate) async fn hot_queries_use_indexes(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    // Ended jobs, a job of many pages, and items of other jobs that wait for tomorrow.
    let ended = driver.begin(task("x"), Tree::new(Vec::new())).await;
    driver.finish_well(&ended).await;
    let big = driver
        .begin(batch(), Tree::new(flat(6)).in_pages_of(2))
        .await;
    let tasks = driver.take_tasks();
    driver.say(&tasks[0], ItemEvent::Leased).await;
    let (old, key) = (ended.key, big.key);
    crowd(
        &f,
        "job_progress",
        old,
        &format!("'job_key', {old} - n"),
        CROWD,
    )
    .await;
    let named =
        format!("'job_key', {old} - n, 'uid', '\\x' || md5(n::text), 'job_id', 'crowd-' || n");
    crowd(&f, "job", old, &named, CROWD / 10).await;
    crowd(
        &f,
        "page",
        key,
        &format!("'job_key', {old} - 1 - n % 500, 'number', n + 10, 'todo', 0, 'due', 0"),
        CROWD,
    )
    .await;
    let tomorrow = f.store.now() + 86_400_000_000;
    let later = format!("'page', n + 10, 'lease_until', 0, 'due', {tomorrow} + n, 'shard', n % 16");
    crowd(&f, "item", key, &later, CROWD).await;
    let leased = format!(
        "'page', n + 100000, 'due', 0, 'lease_until', {tomorrow} + n, 'shard', n % 16, 'lease_session', '\\x' || md5(n::text)"
    );
    crowd(&f, "item", key, &leased, CROWD / 5).await;
    analyze(&f).await;
    f.sql("UPDATE item SET lease_until = 1 WHERE page < 10")
        .await;

    let store = f.another().await;
    let before = scans(&f).await;
    let mut driver = Driver::new(&store);
    let shard = driver.job(&big).await.meta.shard;
    assert_eq!(store.next_due(shard).await.unwrap().first(), Some(1));
    let (committed, _) = store.fire_items(shard, i64::MAX).await.unwrap();
    assert_eq!(committed.outbox.len(), 1);
    store.fire_pages().await.unwrap();
    driver.control(&big, Action::Pause).await;
    driver.answer(&tasks[1..], |_| ItemEvent::Parked).await;
    driver.control(&big, Action::Resume).await;
    assert!(!driver.outbox.is_empty());
    driver.pump().await;
    store.advance_idle(0, 0).await.unwrap();
    store.pipes().live().await.unwrap();
    let limits = PipeLimits {
        in_flight: Some(7),
        per_second: None,
    };
    let pipe = PipeName::new(PIPE).unwrap();
    store
        .pipes()
        .set_limits(&pipe, &limits, None, &Caller::default())
        .await
        .unwrap();
    let mut hungry = batch();
    hungry.max_in_flight = 1;
    driver.begin(hungry, Tree::new(flat(5))).await;
    assert!(!store.pipes().hungry().await.unwrap().is_empty());
    store.partitions().uses().await.unwrap();
    store.set_shares(&[(key, Share::of(2000))]).await.unwrap();
    store.repair_job(key, 0).await.unwrap();
    store.silent_jobs(PIPE, 1, &[shard]).await.unwrap();
    store.jobs_of_older_epochs().await.unwrap();
    store
        .renew_leases(crate::suite::driver::SESSION)
        .await
        .unwrap();
    // The counts of a connection are complete once it is closed.
    store.close().await;

    let hot = [
        "page_todo",
        "page_pkey",
        "page_due",
        "item_due",
        "item_lease",
        "item_session",
        "job_progress_open",
        "job_progress_sated",
        "job_progress_turn",
        "job_progress_pkey",
    ];
    let tables = ["page", "item", "job_progress", "job"];
    assert_found(&f, &before, &hot, &tables).await;
}

/// Waits until these indexes were used since; none of the tables may have been read as a whole.
async fn assert_found(
    f: &Fixture,
    before: &BTreeMap<String, i64>,
    indexes: &[&str],
    tables: &[&str],
) {
    let used = |after: &BTreeMap<String, i64>, name: &str| after[name] > before[name];
    let mut after = scans(f).await;
    let counted = async {
        while !indexes.iter().all(|name| used(&after, name)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            after = scans(f).await;
        }
    };
    let counted = tokio::time::timeout(Duration::from_secs(10), counted).await;
    for name in indexes {
        let verdict = counted.is_ok() || used(&after, name);
        assert!(verdict, "{name} was not used");
    }
    for table in tables {
        let name = format!("seq:{table}");
        assert_eq!(after[&name], before[&name], "{table} was read as a whole");
    }
}

/// Entries of an index that its scans have read.
async fn entries_read(f: &Fixture, index: &str) -> i64 {
    let schema = &f.config.schema;
    let sql = format!(
        "SELECT idx_tup_read AS value FROM pg_stat_user_indexes WHERE schemaname = '{schema}' AND indexrelname = '{index}'"
    );
    let statement = Statement::from_string(f.raw.get_database_backend(), sql);
    let row = f.raw.query_one_raw(statement).await.unwrap();
    row.unwrap().try_get("", "value").unwrap()
}

/// However many others wait, waited, or failed because of others.
pub(crate) async fn what_waits_is_found_by_index(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let one = driver.begin(task("x"), Tree::new(Vec::new())).await;
    for (table, named) in [
        ("job_progress", format!("'job_key', {} - n", one.key)),
        (
            "job",
            format!(
                "'job_key', {} - n, 'uid', '\\x' || md5(n::text), 'job_id', 'crowd-' || n",
                one.key
            ),
        ),
    ] {
        crowd(&f, table, one.key, &named, CROWD / 10).await;
    }
    f.sql(format!(
        "INSERT INTO prerequisite (job_key, number, partition_id, needed, optional, policy, state) \
         SELECT {} - n, 0, '{}', 'crowd-' || n + 1, 0, 0, n % 3 FROM generate_series(1, {CROWD}) AS n",
        one.key, one.name.partition
    ))
    .await;
    analyze(&f).await;
    let store = f.another().await;
    let before = scans(&f).await;
    let read_before = entries_read(&f, "prerequisite_open").await;
    let mut driver = Driver::new(&store);
    let after = |needed: &JobName| {
        let mut spec = task("y");
        spec.prerequisites.push(Prerequisite {
            job: needed.job.clone(),
            optional: false,
        });
        spec
    };
    let none = || Tree::new(Vec::new());
    let gate = driver.create(after(&name("never")), none()).await;
    let waits = driver.create(after(&gate.name), none()).await;
    let last = driver.create(after(&waits.name), none()).await;
    let settle = async || while store.release_dependents().await.unwrap().1 {};
    settle().await;
    driver.control(&gate, Action::Cancel).await;
    settle().await;
    assert_eq!(driver.job(&last).await.state(), JobState::Failed);
    let retry = Retry {
        dependents: true,
        ..Retry::default()
    };
    let caller = Caller::default();
    store.retry_job(&gate.name, &retry, &caller).await.unwrap();
    settle().await;
    for job in [&waits, &last] {
        assert_eq!(driver.job(job).await.state(), JobState::Waiting);
    }
    // The counts of a connection are complete once it is closed.
    store.close().await;
    let indexes = [
        "prerequisite_open",
        "prerequisite_broken",
        "prerequisite_pkey",
    ];
    let tables = ["prerequisite", "job_progress", "job"];
    assert_found(&f, &before, &indexes, &tables).await;
    // Those that wait for one job are found by its name, and not among all that wait in the
    // partition.
    let read = entries_read(&f, "prerequisite_open").await - read_before;
    assert!(read < 1000, "{read} entries of the index were read");
}

/// However many jobs and events they and others have, and however many of them are absent.
pub(crate) async fn changed_partitions_are_found_by_index(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let ended = driver.begin(task("x"), Tree::new(Vec::new())).await;
    driver.finish_well(&ended).await;
    let live = driver.begin(task("x"), Tree::new(Vec::new())).await;
    // Nearly all that is live is of one partition.
    for (from, key, of, rows) in [(ended.key, 0, 3, CROWD), (live.key, CROWD, 1, CROWD)] {
        let named = format!("'job_key', -{key} - n, 'partition_id', 'crowd-' || n % {of}");
        crowd(&f, "job_progress", from, &named, rows).await;
    }
    f.sql(format!(
        "INSERT INTO event (uid, partition_id, job_id, kind, state, revision, run, actor, correlation, message, batch, items, recorded) \
         SELECT decode(md5(n::text), 'hex'), 'crowd-' || n % 3, 'j', 1, 1, 1, 0, '', '', '', 0, 0, 1 FROM generate_series(1, {CROWD}) AS n"
    ))
    .await;
    analyze(&f).await;
    visible(&f).await;
    let store = f.another().await;
    let before = scans(&f).await;
    let watched: Vec<PartitionId> = (0..2000)
        .map(|number| PartitionId::new(format!("crowd-{number}")).unwrap())
        .collect();
    let end = store.events().end().await.unwrap();
    let long_ago = Position::default();
    // Often enough for a plan that fits all parameters.
    let looks = [(end, i64::MAX, 0), (end, 0, 1), (long_ago, i64::MAX, 3)];
    for (after, since, changed) in looks.into_iter().flat_map(|look| [look; 4]) {
        let found = store.changed_partitions(&watched, after, since).await;
        assert_eq!(found.unwrap().partitions.len(), changed);
    }
    // The counts of a connection are complete once it is closed.
    store.close().await;
    let indexes = ["event_partition", "job_progress_open"];
    assert_found(&f, &before, &indexes, &["event", "job_progress"]).await;
}

/// What PostgreSQL takes for the rows of a table since its last statistics.
async fn known_rows(f: &Fixture, table: &str) -> f32 {
    let sql = format!(
        "SELECT reltuples AS value FROM pg_class WHERE oid = '{}.{table}'::regclass",
        f.config.schema
    );
    let statement = Statement::from_string(f.raw.get_database_backend(), sql);
    let row = f.raw.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get("", "value").unwrap()
}

/// Connections keep plans of statements that they sent while there were few rows, until there are
/// statistics of the many.
pub(crate) async fn statistics_follow_the_growth_of_tables(f: Fixture) {
    for table in ["job_progress", "page"] {
        let sql = format!("ALTER TABLE {table} SET (autovacuum_enabled = off)");
        f.sql(sql).await;
    }
    let mut driver = Driver::new(&f.store);
    let model = driver.begin(batch(), Tree::new(flat(2))).await;
    f.store.refresh_statistics().await.unwrap();
    assert!(known_rows(&f, "page").await <= 0.0, "it is small");
    let key = model.key;
    for table in ["job_progress", "page"] {
        crowd(&f, table, key, &format!("'job_key', {key} - n"), CROWD).await;
    }
    f.store.refresh_statistics().await.unwrap();
    let most = CROWD as f32 * 0.9;
    for table in ["job_progress", "page"] {
        let rows = known_rows(&f, table).await;
        assert!(rows > most, "{rows} rows of {table} are known");
    }
    // Not again before there are four times as many.
    let add = format!("'job_key', {key} - {CROWD} - n");
    crowd(&f, "page", key, &add, CROWD * 2).await;
    f.store.refresh_statistics().await.unwrap();
    let rows = known_rows(&f, "page").await;
    assert!(rows < CROWD as f32 * 1.1, "{rows} rows of page are known");
    let add = format!("'job_key', {key} - 3 * {CROWD} - n");
    crowd(&f, "page", key, &add, CROWD * 2).await;
    f.store.refresh_statistics().await.unwrap();
    let rows = known_rows(&f, "page").await;
    assert!(rows > CROWD as f32 * 4.0, "{rows} rows of page are known");
}
