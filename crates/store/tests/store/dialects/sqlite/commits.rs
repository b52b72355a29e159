//! Transactions that end badly: whatever SQLite did with them, the next one works.

use headway_domain::reports::ItemEvent;
use headway_store::StoreError;

use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, Tree, flat, reports},
    name, new_job, task,
};

/// A commit that SQLite refuses, here because of a foreign key that is checked last, must not keep
/// the write lock.
pub(crate) async fn a_commit_that_fails(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(8))).await;
    let said = reports(&driver.take_tasks(), |_| ItemEvent::Done);
    f.sql("CREATE TABLE parent (id INTEGER PRIMARY KEY)").await;
    f.sql("CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)")
        .await;
    for table in ["job_progress", "job"] {
        let when = if table == "job" { "INSERT" } else { "UPDATE" };
        f.sql(format!(
            "CREATE TRIGGER spoil_{table} AFTER {when} ON {table} BEGIN INSERT INTO child VALUES (7); END"
        ))
        .await;
    }
    for _ in 0..2 {
        let refused = f.store.apply_reports(&said).await.unwrap_err();
        assert!(matches!(refused, StoreError::Refused(_)), "{refused}");
        let refused = f
            .store
            .create_job(new_job(name("x"), task("x")))
            .await
            .unwrap_err();
        assert!(matches!(refused, StoreError::Refused(_)), "{refused}");
        // Anybody else can write: nobody holds the lock.
        f.sql("UPDATE setting SET value = value").await;
    }
    f.sql("DROP TRIGGER spoil_job_progress").await;
    f.sql("DROP TRIGGER spoil_job").await;
    driver.report(said).await;
    assert_eq!(driver.finish_well(&job).await.counts.done, 8);
    audit(&f, job.uid).await;
}

/// SQLite rolls back by itself, as it may when a disk is full. The connection does not know of
/// that: its next transaction would be a nested one, which is not committed when it says so, and
/// keeps the write lock after its own failure.
pub(crate) async fn a_transaction_that_sqlite_rolls_back(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(8))).await;
    let said = reports(&driver.take_tasks(), |_| ItemEvent::Done);
    for (table, when) in [("job_progress", "UPDATE"), ("job", "INSERT")] {
        f.sql(format!(
            "CREATE TRIGGER spoil_{table} AFTER {when} ON {table} BEGIN SELECT RAISE(ROLLBACK, 'full'); END"
        ))
        .await;
    }
    f.store.apply_reports(&said).await.unwrap_err();
    let spec = task("x");
    f.store
        .create_job(new_job(name("x"), spec.clone()))
        .await
        .unwrap_err();
    f.sql("DROP TRIGGER spoil_job_progress").await;
    f.sql("DROP TRIGGER spoil_job").await;
    for number in 0..3 {
        let created = f
            .store
            .create_job(new_job(name(&format!("x{number}")), spec.clone()));
        created.await.unwrap();
        // Another connection sees it: it is committed.
        assert_eq!(f.count("job").await, 2 + number);
    }
    driver.report(said).await;
    assert_eq!(driver.finish_well(&job).await.counts.done, 8);
    let done = format!(
        "SELECT done AS value FROM job_progress WHERE job_key = {}",
        job.key
    );
    assert_eq!(f.ints(done).await, [8]);
}
