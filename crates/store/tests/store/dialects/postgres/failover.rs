//! The primary is lost in the middle of a job, and its standby is promoted: what was acknowledged
//! is there, and the job ends with exact counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use headway_domain::{JobState, reports::ItemEvent};
use headway_runtime::tasks;
use headway_store::{StoreConfig, StoreUrl};
use sea_orm::{ConnectOptions, ConnectionTrait};

use super::{
    outages::repeated,
    proxy::Proxy,
    server::{Cluster, number},
};
use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, Tree, flat, reports},
    name, new_job, task,
};

const ITEMS: usize = 200;
const SCHEMA: &str = "failover";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_promoted_in_the_middle_of_a_job() {
    let Some(cluster) = Cluster::new() else {
        eprintln!("left out: PostgreSQL's programs are not in /usr/lib/postgresql");
        return;
    };
    cluster.make_primary("one");
    let mut primary = cluster.start("one").await;
    cluster.make_standby("two", &primary);
    let standby = cluster.start("two").await;
    let admin = cluster.connect(&primary).await;
    // Nothing is acknowledged before the standby has it.
    admin
        .execute_unprepared("ALTER SYSTEM SET synchronous_standby_names = '*'")
        .await
        .unwrap();
    admin
        .execute_unprepared("SELECT pg_reload_conf()")
        .await
        .unwrap();
    let synchronous = "SELECT count(*) AS value FROM pg_stat_replication WHERE sync_state = 'sync'";
    while number(&admin, synchronous).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let proxy = Proxy::start(format!("127.0.0.1:{}", primary.port)).await;
    let url = cluster.url(proxy.port());
    let config = StoreConfig {
        schema: SCHEMA.to_owned(),
        connections: 8,
        ..StoreConfig::new(StoreUrl::new(url.as_str()))
    };
    let mut raw = ConnectOptions::new(url);
    raw.sqlx_logging(false).set_schema_search_path(SCHEMA);
    let f = Fixture::connect(config, raw).await;
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(ITEMS))).await;
    let tasks = driver.take_tasks();
    assert_eq!(tasks.len(), ITEMS);

    // Clients create jobs all the time.
    let stop = Arc::new(AtomicBool::new(false));
    let clients = tasks::spawn({
        let (store, stop) = (f.store.clone(), stop.clone());
        async move {
            let mut accepted = Vec::new();
            let mut refused = 0;
            while !stop.load(Ordering::Relaxed) {
                let one = name(&format!("n{}", accepted.len()));
                let create = || store.create_job(new_job(one.clone(), task("x")));
                refused += repeated(create).await.1;
                accepted.push(one);
            }
            (accepted, refused)
        }
    });

    let (before, after) = tasks.split_at(ITEMS / 2);
    for some in before.chunks(10) {
        driver.report(reports(some, |_| ItemEvent::Done)).await;
    }
    primary.stop_at_once();
    let first = reports(&after[..10], |_| ItemEvent::Done);
    let away = f.store.apply_reports(&first).await.unwrap_err();
    assert!(away.is_passing(), "{away}");
    // The address leads to the standby before it is promoted.
    proxy.lead_to(format!("127.0.0.1:{}", standby.port)).await;
    let promote = cluster.connect(&standby).await;
    let note = async |name: &str| {
        let sql = format!("SELECT set_config('{name}', clock_timestamp()::text, false)");
        promote.execute_unprepared(&sql).await.unwrap();
    };
    loop {
        note("test.refused").await;
        let refused = f.store.apply_reports(&first).await.unwrap_err();
        assert!(refused.is_passing(), "{refused}");
        if refused.to_string().contains("read-only") || refused.to_string().contains("recovery") {
            break;
        }
    }
    promote
        .execute_unprepared("SELECT pg_promote(true, 10)")
        .await
        .unwrap();
    note("test.promoted").await;
    for some in after.chunks(10) {
        let said = reports(some, |_| ItemEvent::Done);
        let (tracked, _) = repeated(|| f.store.apply_reports(&said)).await;
        driver.take(tracked.committed);
    }
    stop.store(true, Ordering::Relaxed);
    let (accepted, refused) = clients.await.unwrap();
    assert!(refused > 0, "the clients noticed nothing");

    let ended = driver.job(&job).await;
    assert_eq!(
        (ended.state(), ended.counts.done),
        (JobState::Completed, ITEMS as u64)
    );
    audit(&f, job.uid).await;
    for one in &accepted {
        f.store.job(one).await.unwrap();
    }
    assert_eq!(f.count("job").await, accepted.len() as i64 + 1);
    // No session is used that was made before one of them was refused a change.
    let used = "SELECT count(*) AS value FROM pg_stat_activity WHERE application_name = 'headway' \
                AND backend_start < current_setting('test.refused')::timestamptz \
                AND query_start > current_setting('test.promoted')::timestamptz";
    assert_eq!(number(&promote, used).await, 0);
    let job = driver.begin(batch(), Tree::new(flat(20))).await;
    assert_eq!(driver.finish_well(&job).await.counts.done, 20);
    f.store.close().await;
}
