//! Tables that another version alters under running processes.

use super::outages::{repeated, through_proxy};
use headway_domain::reports::{Failed, ItemEvent};
use headway_store::FailureFilter;

use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, Tree, flat, reports},
    name, new_job, task,
};

/// A migration of a later version adds columns to every table while jobs run.
pub(crate) async fn columns_are_added_under_a_running_job(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver
        .begin(batch(), Tree::new(flat(40)).in_pages_of(4))
        .await;
    let mut tasks = driver.take_tasks();
    let sql = "SELECT count(*) AS value FROM pg_tables WHERE schemaname = current_schema()";
    assert!(f.ints(sql).await[0] > 15);
    // Prepared on every connection: one that is not used reads the new columns without trouble.
    let read = async || {
        for _ in 0..f.config.connections {
            f.store.job(&job.name).await.unwrap();
            f.store
                .list_failures(&job.name, &FailureFilter::default(), None, 10)
                .await
                .unwrap();
            f.store.outbox_overdue(0, 10).await.unwrap();
            f.store
                .schedules()
                .list(&job.name.partition, "", 10)
                .await
                .unwrap();
            f.store.unsettled_jobs().await.unwrap();
            f.store.paused_or_ended_jobs().await.unwrap();
        }
    };
    read().await;
    for table in [
        "job",
        "job_progress",
        "label",
        "batch",
        "page",
        "item",
        "failure",
        "event",
        "outbox",
        "setting",
        "sample",
        "prerequisite",
        "schedule",
        "shard_claim",
    ] {
        // Statements are prepared by now.
        let later = tasks.split_off(2);
        driver
            .answer(&tasks, |task| match task.index {
                0 => ItemEvent::Failed(Failed::lasting("NO", "no")),
                1 => ItemEvent::Leased,
                _ => ItemEvent::Done,
            })
            .await;
        tasks = later;
        f.sql(format!(
            "ALTER TABLE {table} ADD COLUMN added bigint NOT NULL DEFAULT 0"
        ))
        .await;
        read().await;
        driver.fire().await;
    }
    audit(&f, job.uid).await;
}

/// A column's type changes: prepared statements do not fit any more, and one try is enough.
pub(crate) async fn a_column_changes_its_type(f: Fixture) {
    f.store
        .create_job(new_job(name("a"), task("x")))
        .await
        .unwrap();
    for _ in 0..8 {
        f.store.job(&name("a")).await.unwrap();
    }
    f.sql("ALTER TABLE job ALTER COLUMN creator TYPE varchar(1000)")
        .await;
    let named = name("a");
    let (job, failed) = repeated(|| f.store.job(&named)).await;
    assert_eq!(job.job.meta.creator, "somebody");
    assert!(failed <= 2, "{failed} tries");
}

/// A pooler, or an operator, takes prepared statements away.
pub(crate) async fn prepared_statements_are_lost(f: Fixture) {
    let (proxy, store) = through_proxy(&f).await;
    let mut driver = Driver::new(&store);
    let job = driver.begin(batch(), Tree::new(flat(12))).await;
    let tasks = driver.take_tasks();
    for (sql, tasks) in ["DEALLOCATE ALL", "DISCARD ALL", "DEALLOCATE ALL"]
        .into_iter()
        .zip(tasks.chunks(4))
    {
        proxy.inject(sql).await;
        let said = reports(tasks, |_| ItemEvent::Done);
        let (tracked, failed) = repeated(|| store.apply_reports(&said)).await;
        assert!(failed <= 3, "{failed} tries after {sql}");
        driver.take(tracked.committed);
    }
    assert_eq!(
        f.store
            .job_state(job.uid)
            .await
            .unwrap()
            .unwrap()
            .job
            .counts
            .done,
        12
    );
    audit(&f, job.uid).await;
}
