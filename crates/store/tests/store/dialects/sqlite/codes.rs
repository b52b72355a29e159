//! Result codes that SQLite really gives: what they mean for a report, for a call and for a sweep.
//! src/error.rs tests the rest of the table with made errors.

use std::{
    io::{Seek, SeekFrom, Write},
    time::Duration,
};

use headway_domain::{error::Action, events::Caller, pipes::Share, reports::ItemEvent};
use headway_store::{Store, StoreConfig, StoreError, StoreUrl, error_codes};
use sea_orm::{ConnectionTrait, DbBackend, Statement, TransactionTrait};

use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, Tree, flat, reports},
    name, new_job, task,
};

/// What a trigger does in the middle of a transaction, and the code that SQLite gives then.
const SPOILT: &[(&str, &str)] = &[
    ("SELECT zeroblob(1000000001)", "18"),
    ("INSERT INTO spoilt (id) VALUES ('a text')", "20"),
    ("INSERT INTO spoilt (id) VALUES (1)", "1555"),
    ("INSERT INTO spoilt (id, one) VALUES (2, 1)", "2067"),
    ("INSERT INTO rows_of (rowid) VALUES (1)", "2579"),
    ("INSERT INTO spoilt (positive) VALUES (-1)", "275"),
    ("INSERT INTO spoilt (named) VALUES (NULL)", "1299"),
    ("INSERT INTO strict_one (one) VALUES ('a text')", "3091"),
    ("INSERT INTO child (id) VALUES (7)", "787"),
    ("SELECT RAISE(ABORT, 'no')", "1811"),
    ("INSERT INTO nowhere (id) VALUES (1)", "1"),
];

const TABLES: &str = "CREATE TABLE spoilt (id INTEGER PRIMARY KEY, one INTEGER UNIQUE, positive INTEGER CHECK (positive > 0), \
       named TEXT NOT NULL DEFAULT ''); \
     INSERT INTO spoilt (id, one) VALUES (1, 1); \
     CREATE TABLE rows_of (value TEXT); INSERT INTO rows_of (rowid) VALUES (1); \
     CREATE TABLE strict_one (one INTEGER) STRICT; \
     CREATE TABLE child (id INTEGER REFERENCES spoilt (id))";

/// Whether an error is what the table says about a code.
fn is_as_listed(error: &StoreError, code: &str) -> bool {
    let text = error.to_string();
    let named = text.contains(&format!("code: {code})"));
    named
        && match error_codes::look_up(code).meaning {
            error_codes::Meaning::Data => matches!(error, StoreError::Refused(_)),
            error_codes::Meaning::Duplicate => matches!(error, StoreError::Duplicate(_)),
            error_codes::Meaning::Wait => matches!(error, StoreError::Unavailable(_)),
        }
}

pub(crate) async fn codes_of_statements(f: Fixture) {
    f.sql(TABLES).await;
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(SPOILT.len()))).await;
    let tasks = driver.take_tasks();
    let caller = Caller::default();
    for ((statement, code), task) in SPOILT.iter().zip(&tasks) {
        f.sql(format!(
            "CREATE TRIGGER spoil AFTER UPDATE ON job_progress BEGIN {statement}; END"
        ))
        .await;
        let said = reports(std::slice::from_ref(task), |_| ItemEvent::Done);
        let report = f.store.apply_reports(&said).await.unwrap_err();
        assert!(is_as_listed(&report, code), "{code}: {report}");
        let call = f.store.control_job(&job.name, Action::Pause, &caller).await;
        let call = call.unwrap_err();
        assert!(is_as_listed(&call, code), "{code}: {call}");
        // A sweep waits with all jobs where the database is at fault, and sets the one aside whose
        // rows are.
        let swept = f.store.set_shares(&[(job.key, Share::of(5))]).await;
        let aside = f.count("unreadable").await;
        match swept {
            Err(error) => assert!(error.is_passing() && aside == 0, "{code}: {error}"),
            Ok(_) => assert!(!call.is_passing() && aside == 1, "{code}: {aside}"),
        }
        f.sql("DROP TRIGGER spoil").await;
        f.sql("DELETE FROM unreadable").await;
        let tracked = f.store.apply_reports(&said).await.unwrap();
        assert_eq!(tracked.applied.applied, 1, "{code}");
    }
    assert_eq!(driver.job(&job).await.counts.done, SPOILT.len() as u64);
    audit(&f, job.uid).await;
}

/// Another process holds the write lock for longer than a writer waits.
pub(crate) async fn another_process_writes(f: Fixture) {
    let config = StoreConfig {
        lock_timeout: Duration::from_millis(20),
        ..f.config.clone()
    };
    let store = Store::connect(&config).await.unwrap();
    let mut driver = Driver::new(&store);
    let job = driver.begin(batch(), Tree::new(flat(4))).await;
    let said = reports(&driver.take_tasks(), |_| ItemEvent::Done);
    let held = f.raw.begin().await.unwrap();
    held.execute_unprepared("UPDATE setting SET value = value")
        .await
        .unwrap();
    let report = store.apply_reports(&said).await.unwrap_err();
    assert!(is_as_listed(&report, "5"), "{report}");
    let call = store.create_job(new_job(name("x"), task("x"))).await;
    let call = call.unwrap_err();
    assert!(call.is_passing(), "{call}");
    let sweep = store.advance_idle(-1_000_000, 0).await.unwrap_err();
    assert!(is_as_listed(&sweep, "5"), "{sweep}");
    held.rollback().await.unwrap();
    driver.report(said).await;
    store.advance_idle(-1_000_000, 0).await.unwrap();
    store
        .create_job(new_job(name("x"), task("x")))
        .await
        .unwrap();
    assert_eq!(driver.finish_well(&job).await.counts.done, 4);
}

/// Files that cannot be used: nobody is told that their data is at fault.
pub(crate) async fn files_that_cannot_be_used(f: Fixture) {
    let folder = tempfile::tempdir().unwrap();
    let connect = |url: String| async move {
        let connected = Store::connect(&StoreConfig::new(StoreUrl::new(url))).await;
        connected.map(|_| ()).unwrap_err()
    };
    let file = folder.path().join("garbage.db");
    std::fs::write(&file, vec![b'x'; 8192]).unwrap();
    let garbage = connect(format!("sqlite://{}", file.display())).await;
    assert!(is_as_listed(&garbage, "26"), "{garbage}");
    let nowhere = folder.path().join("nowhere/store.db");
    let nowhere = connect(format!("sqlite://{}", nowhere.display())).await;
    assert!(is_as_listed(&nowhere, "14"), "{nowhere}");
    // Tables of this version in a file that is opened to be read only.
    f.sql("PRAGMA wal_checkpoint(TRUNCATE)").await;
    let path = file_of(&f).await;
    let only_read = connect(format!("sqlite://{path}?mode=ro")).await;
    assert!(is_as_listed(&only_read, "8"), "{only_read}");
}

/// A page of the file is overwritten. What is in other pages can still be used.
pub(crate) async fn a_page_is_overwritten(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(4))).await;
    let root = f
        .ints("SELECT rootpage AS value FROM sqlite_master WHERE tbl_name = 'job_type' AND type = 'index'")
        .await[0];
    f.store.close().await;
    f.sql("PRAGMA wal_checkpoint(TRUNCATE)").await;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .open(file_of(&f).await)
        .unwrap();
    let at = u64::try_from(root - 1).unwrap() * 4096;
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[0xff; 4096]).unwrap();
    let store = f.another().await;
    let error = store.job_types().list("", 10).await.unwrap_err();
    assert!(is_as_listed(&error, "11"), "{error}");
    let mut driver = driver.over(&store);
    assert_eq!(driver.finish_well(&job).await.counts.done, 4);
}

async fn file_of(f: &Fixture) -> String {
    let sql = "SELECT file FROM pragma_database_list WHERE name = 'main'";
    let row = f
        .raw
        .query_one_raw(Statement::from_string(DbBackend::Sqlite, sql))
        .await;
    row.unwrap().unwrap().try_get("", "file").unwrap()
}
