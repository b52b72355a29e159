//! Transactions that PostgreSQL itself ends: deadlocks, failures to serialize, and sessions that an
//! operator terminates in the middle of a transaction and of a commit. The same call succeeds
//! afterwards, and counts once.

use std::time::Duration;

use headway_domain::reports::{ItemEvent, PageReport};
use headway_runtime::tasks;
use headway_store::{Store, StoreConfig, StoreError, StoreUrl};
use sea_orm::{ConnectionTrait, DatabaseTransaction, TransactionTrait};

use super::outages::repeated;
use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, Started, Tree, flat, reports},
};

/// A store whose sessions have another setting.
async fn with_setting(f: &Fixture, name: &str, value: &str) -> Store {
    let url = std::env::var("HEADWAY_TEST_DATABASE_URL").unwrap();
    let mark = if url.contains('?') { '&' } else { '?' };
    let config = StoreConfig {
        url: StoreUrl::new(format!("{url}{mark}options[{name}]={value}")),
        ..f.config.clone()
    };
    Store::connect(&config).await.unwrap()
}

async fn lock(tx: &DatabaseTransaction, job: &Started) {
    let sql = format!(
        "SELECT 1 FROM job_progress WHERE job_key = {} FOR UPDATE",
        job.key
    );
    tx.execute_unprepared(&sql).await.unwrap();
}

/// The sessions that wait for a lock and have run such a statement in this schema's tables.
async fn waiting(f: &Fixture, statement: &str) -> Vec<i64> {
    let sql = format!(
        "SELECT pid::bigint AS value FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ILIKE '%{statement}%' \
         AND pid IN (SELECT pid FROM pg_locks WHERE granted AND relation = '\"{}\".job_progress'::regclass)",
        f.config.schema
    );
    f.ints(sql).await
}

async fn await_waiting(f: &Fixture, statement: &str) -> Vec<i64> {
    loop {
        let waiting = waiting(f, statement).await;
        if !waiting.is_empty() {
            return waiting;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn job(f: &Fixture, driver: &mut Driver) -> (Started, Vec<PageReport>) {
    let job = driver.begin(batch(), Tree::new(flat(4))).await;
    let said = reports(&driver.take_tasks(), |_| ItemEvent::Done);
    assert_eq!(
        f.store
            .job_state(job.uid)
            .await
            .unwrap()
            .unwrap()
            .job
            .counts
            .done,
        0
    );
    (job, said)
}

fn with_code(error: &StoreError, text: &str) -> bool {
    error.is_passing() && error.to_string().contains(text)
}

/// Another transaction holds two jobs in the opposite order.
pub(crate) async fn a_deadlock(f: Fixture) {
    let store = with_setting(&f, "deadlock_timeout", "1s").await;
    let mut driver = Driver::new(&f.store);
    let (mut one, mut said) = job(&f, &mut driver).await;
    let (mut other, more) = job(&f, &mut driver).await;
    said.extend(more);
    if other.key < one.key {
        std::mem::swap(&mut one, &mut other);
    }
    let theirs = f.raw.begin().await.unwrap();
    theirs
        .execute_unprepared("SET LOCAL deadlock_timeout = '60s'")
        .await
        .unwrap();
    lock(&theirs, &other).await;
    let call = tasks::spawn({
        let (store, said) = (store.clone(), said.clone());
        async move { store.apply_reports_in_turn(&said).await }
    });
    await_waiting(&f, "FOR UPDATE").await;
    lock(&theirs, &one).await;
    let refused = call.await.unwrap().unwrap_err();
    assert!(with_code(&refused, "deadlock detected"), "{refused}");
    theirs.rollback().await.unwrap();
    let (tracked, failed) = repeated(|| store.apply_reports_in_turn(&said)).await;
    assert_eq!((tracked.applied.applied, failed), (8, 0));
    for job in [&one, &other] {
        audit(&f, job.uid).await;
    }
}

/// An operator lets every transaction be serializable.
pub(crate) async fn a_failure_to_serialize(f: Fixture) {
    let store = with_setting(&f, "default_transaction_isolation", "serializable").await;
    let mut driver = Driver::new(&f.store);
    let (job, said) = job(&f, &mut driver).await;
    let theirs = f.raw.begin().await.unwrap();
    let sql = format!(
        "UPDATE job_progress SET updated = updated + 1 WHERE job_key = {}",
        job.key
    );
    theirs.execute_unprepared(&sql).await.unwrap();
    let call = tasks::spawn({
        let (store, said) = (store.clone(), said.clone());
        async move { store.apply_reports_in_turn(&said).await }
    });
    await_waiting(&f, "FOR UPDATE").await;
    theirs.commit().await.unwrap();
    let refused = call.await.unwrap().unwrap_err();
    assert!(with_code(&refused, "could not serialize"), "{refused}");
    let (tracked, failed) = repeated(|| store.apply_reports_in_turn(&said)).await;
    assert_eq!((tracked.applied.applied, failed), (4, 0));
    audit(&f, job.uid).await;
}

/// An operator terminates the session in the middle of a transaction, and while it commits.
pub(crate) async fn a_session_is_terminated(f: Fixture) {
    // A commit that waits for a lock that the test holds.
    f.sql(
        "CREATE FUNCTION hold_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           LOCK TABLE commits IN ROW EXCLUSIVE MODE; RETURN NULL; END $$",
    )
    .await;
    f.sql("CREATE TABLE commits (one BIGINT)").await;
    f.sql(
        "CREATE CONSTRAINT TRIGGER hold_commit AFTER UPDATE ON job_progress DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW EXECUTE FUNCTION hold_commit()",
    )
    .await;
    let mut driver = Driver::new(&f.store);
    for phase in ["FOR UPDATE", "COMMIT"] {
        let (job, said) = job(&f, &mut driver).await;
        let theirs = f.raw.begin().await.unwrap();
        match phase {
            "COMMIT" => {
                theirs
                    .execute_unprepared("LOCK TABLE commits IN ACCESS EXCLUSIVE MODE")
                    .await
                    .unwrap();
            }
            _ => lock(&theirs, &job).await,
        }
        let call = tasks::spawn({
            let (store, said) = (f.store.clone(), said.clone());
            async move { store.apply_reports_in_turn(&said).await }
        });
        for pid in await_waiting(&f, phase).await {
            f.sql(format!("SELECT pg_terminate_backend({pid})")).await;
        }
        let refused = call.await.unwrap().unwrap_err();
        let administrator = "due to administrator command";
        assert!(with_code(&refused, administrator), "{phase}: {refused}");
        assert_eq!(driver.job(&job).await.counts.done, 0, "{phase}");
        theirs.rollback().await.unwrap();
        let (tracked, _) = repeated(|| f.store.apply_reports_in_turn(&said)).await;
        assert_eq!(tracked.applied.applied, 4, "{phase}");
        audit(&f, job.uid).await;
    }
}
