//! Databases that refuse for a while: nothing fails for good, and every repeated call leads to the
//! same rows.

use std::time::Duration;

use super::proxy::Proxy;
use headway_domain::{error::Action, events::Caller, reports::ItemEvent};
use headway_runtime::tasks;
use headway_store::{Store, StoreConfig, StoreError, StoreUrl, error_codes};
use sea_orm::{ConnectionTrait, DatabaseTransaction, TransactionTrait};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, Started, Tree, flat, reports},
    name, new_job, task,
};

/// The server's address and the rest of the test database's URL: `postgres://user@`, `host:port`,
/// `/database`.
fn address() -> (String, String, String) {
    let url = std::env::var("HEADWAY_TEST_DATABASE_URL").unwrap();
    let (user, rest) = url.rsplit_once('@').unwrap();
    let (host, database) = rest.split_once('/').unwrap();
    (format!("{user}@"), host.to_owned(), format!("/{database}"))
}

/// A store whose connections go through a proxy.
pub(crate) async fn through_proxy(f: &Fixture) -> (Proxy, Store) {
    let (proxy, config) = proxy_before(f).await;
    let store = Store::connect(&config).await.unwrap();
    (proxy, store)
}

/// A proxy, and how to connect through it.
pub(crate) async fn proxy_before(f: &Fixture) -> (Proxy, StoreConfig) {
    let (user, host, database) = address();
    let proxy = Proxy::start(host).await;
    let url = format!("{user}127.0.0.1:{}{database}?sslmode=disable", proxy.port());
    let config = StoreConfig {
        url: StoreUrl::new(url),
        ..f.config.clone()
    };
    (proxy, config)
}

/// Repeats a call for as long as it may succeed later; how often it failed.
pub(crate) async fn repeated<T, Answer>(mut call: impl FnMut() -> Answer) -> (T, u32)
where
    Answer: Future<Output = Result<T, StoreError>>,
{
    let mut failed = 0;
    loop {
        match call().await {
            Ok(value) => return (value, failed),
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
        failed += 1;
        assert!(failed < 500, "it never succeeds");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A user of the database that a test may restrict.
struct Role {
    name: String,
    store: Store,
}

impl Role {
    async fn connect(f: &Fixture) -> Self {
        let name = format!("role_{}", Uuid::new_v4().simple());
        f.sql(format!("CREATE ROLE {name} LOGIN SUPERUSER PASSWORD 'x'"))
            .await;
        let (_, host, database) = address();
        let config = StoreConfig {
            url: StoreUrl::new(format!("postgres://{name}:x@{host}{database}")),
            ..f.config.clone()
        };
        let store = Store::connect(&config).await.unwrap();
        Self { name, store }
    }

    /// Changes the user, and ends its connections.
    async fn alter(&self, f: &Fixture, what: &str) {
        f.sql(format!("ALTER ROLE {} {what}", self.name)).await;
        f.sql(format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{}'",
            self.name
        ))
        .await;
    }

    async fn remove(self, f: &Fixture) {
        self.store.close().await;
        f.sql(format!("DROP ROLE {}", self.name)).await;
    }
}

/// The address leads to a standby, which is then promoted: the connections to the standby are not
/// kept.
pub(crate) async fn read_only_for_a_while(f: Fixture) {
    let role = Role::connect(&f).await;
    let mut driver = Driver::new(&role.store);
    let job = driver.begin(batch(), Tree::new(flat(8))).await;
    let said = reports(&driver.take_tasks(), |_| ItemEvent::Done);
    role.alter(&f, "SET default_transaction_read_only = on")
        .await;
    for _ in 0..20 {
        let refused = role.store.apply_reports(&said).await.unwrap_err();
        assert!(refused.is_passing(), "{refused}");
        assert!(role.store.ping().await.unwrap_err().is_passing());
    }
    // Nobody ends the connections that were made meanwhile.
    f.sql(format!(
        "ALTER ROLE {} RESET default_transaction_read_only",
        role.name
    ))
    .await;
    let (tracked, failed) = repeated(|| role.store.apply_reports(&said)).await;
    assert!(failed <= 3, "{failed} tries on old connections");
    driver.take(tracked.committed);
    role.store.ping().await.unwrap();
    assert_eq!(driver.finish_well(&job).await.counts.done, 8);
    audit(&f, job.uid).await;
    role.remove(&f).await;
}

/// Some connections were made while the database was read-only, and are in use when it takes changes
/// again. After the first commit they are closed instead of used, so no call fails because of them.
pub(crate) async fn connections_of_a_read_only_time_are_closed(f: Fixture) {
    let role = Role::connect(&f).await;
    let create = async |id: &str| role.store.create_job(new_job(name(id), task("x"))).await;
    let partition = name("first").partition;
    create("first").await.unwrap();
    role.alter(&f, "SET default_transaction_read_only = on")
        .await;
    // Only the pool of clients' reads notices the lost connections; the other one makes no more
    // than it is asked for.
    let schedules = role.store.schedules();
    let lost = schedules.list(&partition, "", 10).await.unwrap_err();
    assert!(lost.is_passing(), "{lost}");
    let lock = f.raw.begin().await.unwrap();
    lock.execute_unprepared("LOCK TABLE job IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    // All connections but the one that the probe needs.
    let mut reads = JoinSet::new();
    for _ in 1..f.config.connections - f.config.connections / 3 {
        let store = role.store.clone();
        reads.spawn(async move { store.job(&name("first")).await });
    }
    let waiting = format!(
        "SELECT count(*) AS value FROM pg_stat_activity WHERE usename = '{}' AND wait_event_type = 'Lock'",
        role.name
    );
    while f.ints(&waiting).await[0] < reads.len() as i64 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    f.sql(format!(
        "ALTER ROLE {} RESET default_transaction_read_only",
        role.name
    ))
    .await;
    role.store.ping().await.unwrap();
    lock.rollback().await.unwrap();
    while let Some(read) = reads.join_next().await {
        read.unwrap().unwrap();
    }
    for number in 0..=f.config.connections {
        let created = create(&format!("n{number}")).await;
        assert!(created.is_ok(), "{number}: {created:?}");
    }
    role.remove(&f).await;
}

/// No connection is to be had for a moment: calls wait for one.
pub(crate) async fn no_connection_for_a_while(f: Fixture) {
    let role = Role::connect(&f).await;
    // A superuser is above the limit.
    f.sql(format!("ALTER ROLE {} NOSUPERUSER", role.name)).await;
    for on in ["SCHEMA", "ALL TABLES IN SCHEMA", "ALL SEQUENCES IN SCHEMA"] {
        f.sql(format!(
            "GRANT ALL ON {on} {} TO {}",
            f.config.schema, role.name
        ))
        .await;
    }
    role.alter(&f, "CONNECTION LIMIT 0").await;
    let store = role.store.clone();
    let waiting = tasks::spawn(async move {
        repeated(|| store.create_job(new_job(name("late"), task("x")))).await
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    f.sql(format!("ALTER ROLE {} CONNECTION LIMIT -1", role.name))
        .await;
    let (created, _) = waiting.await.unwrap();
    assert!(!created.existed);
    role.store.close().await;
    f.sql(format!("DROP OWNED BY {}", role.name)).await;
    role.remove(&f).await;
}

/// Holds a job's row until the transaction ends.
async fn hold(f: &Fixture, job: &Started) -> DatabaseTransaction {
    let held = f.raw.begin().await.unwrap();
    let sql = format!(
        "SELECT 1 FROM job_progress WHERE job_key = {} FOR UPDATE",
        job.key
    );
    held.execute_unprepared(&sql).await.unwrap();
    held
}

/// A statement that takes too long ends, and may be tried again.
///
/// The limit is far above what a statement takes on a busy machine: only the one that waits for
/// the lock reaches it.
pub(crate) async fn statements_have_a_time_limit(f: Fixture) {
    let config = StoreConfig {
        statement_timeout: Duration::from_secs(3),
        ..f.config.clone()
    };
    let store = Store::connect(&config).await.unwrap();
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(2))).await;
    let said = reports(&driver.take_tasks(), |_| ItemEvent::Done);
    let lock = hold(&f, &job).await;
    let late = store.apply_reports_in_turn(&said).await.unwrap_err();
    assert!(
        late.is_passing() && late.to_string().contains("statement timeout"),
        "{late}"
    );
    lock.rollback().await.unwrap();
    assert_eq!(
        store
            .apply_reports_in_turn(&said)
            .await
            .unwrap()
            .applied
            .applied,
        2
    );
    audit(&f, job.uid).await;
}

/// Reads of clients that take their time use up their own connections only.
pub(crate) async fn slow_reads_do_not_keep_writes_waiting(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(2))).await;
    let said = reports(&driver.take_tasks(), |_| ItemEvent::Done);
    let lock = f.raw.begin().await.unwrap();
    lock.execute_unprepared("LOCK TABLE schedule IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let mut slow = JoinSet::new();
    for _ in 0..40 {
        let (store, partition) = (f.store.clone(), job.name.partition.clone());
        slow.spawn(async move { store.schedules().list(&partition, "", 10).await });
    }
    let sql = format!(
        "SELECT count(*) AS value FROM pg_locks WHERE NOT granted AND relation = '\"{}\".schedule'::regclass",
        f.config.schema
    );
    // As many as there are connections for reads.
    while f.ints(&sql).await[0] < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let work = async {
        f.store
            .create_job(new_job(name("meanwhile"), task("x")))
            .await
            .unwrap();
        driver.report(said).await;
        f.store
            .control_job(&name("meanwhile"), Action::Cancel, &Caller::default())
            .await
            .unwrap();
    };
    tokio::time::timeout(Duration::from_secs(8), work)
        .await
        .unwrap();
    assert!(slow.try_join_next().is_none());
    lock.rollback().await.unwrap();
    while let Some(listed) = slow.join_next().await {
        listed.unwrap().unwrap();
    }
}

/// Raises each code that the table lists, in the middle of a transaction of reports: what is of the
/// data is refused, everything else may be tried again, and then the same call succeeds.
pub(crate) async fn every_listed_code(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let items = error_codes::POSTGRES.len() + 1;
    let job = driver.begin(batch(), Tree::new(flat(items))).await;
    let tasks = driver.take_tasks();
    let unlisted = error_codes::Entry {
        code: "ZZ",
        ..error_codes::UNLISTED
    };
    for (entry, task) in error_codes::POSTGRES.iter().chain([&unlisted]).zip(&tasks) {
        let code = format!("{:0<5}", entry.code);
        f.sql(format!(
            "CREATE OR REPLACE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
               RAISE EXCEPTION 'spoilt' USING ERRCODE = '{code}'; END $$"
        ))
        .await;
        f.sql("CREATE TRIGGER spoil BEFORE UPDATE ON job_progress FOR EACH ROW EXECUTE FUNCTION spoil()").await;
        let said = reports(std::slice::from_ref(task), |_| ItemEvent::Done);
        let error = f.store.apply_reports(&said).await.unwrap_err();
        let right = match entry.meaning {
            error_codes::Meaning::Data => matches!(error, StoreError::Refused(_)),
            error_codes::Meaning::Duplicate => matches!(error, StoreError::Duplicate(_)),
            error_codes::Meaning::Wait => error.is_passing(),
        };
        assert!(right, "{code}: {error}");
        f.sql("DROP TRIGGER spoil ON job_progress").await;
        assert_eq!(
            f.store.apply_reports(&said).await.unwrap().applied.applied,
            1,
            "{code}"
        );
    }
    assert_eq!(driver.job(&job).await.counts.done, items as u64);
    audit(&f, job.uid).await;
}

/// The server is away for a moment: one failure renews every old connection.
pub(crate) async fn all_connections_are_cut(f: Fixture) {
    let (proxy, store) = through_proxy(&f).await;
    let mut calls = JoinSet::new();
    for number in 0..16 {
        let store = store.clone();
        calls.spawn(async move {
            store
                .create_job(new_job(name(&format!("n{number}")), task("x")))
                .await
        });
    }
    while let Some(created) = calls.join_next().await {
        created.unwrap().unwrap();
    }
    proxy.cut();
    let create = || store.create_job(new_job(name("a"), task("x")));
    let (_, failed) = repeated(create).await;
    assert!(failed <= 2, "{failed} tries");
}
