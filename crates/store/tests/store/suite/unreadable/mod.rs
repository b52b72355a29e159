//! Rows that this version cannot read: each sweep sets them aside and goes on with the others, also
//! where they come first.

pub(crate) mod jobs;
pub(crate) mod lists;

use headway_domain::{
    Error, JobId, JobState, PartitionId,
    events::Caller,
    prerequisites::Prerequisite,
    schedules::{Overlap, Schedule, ScheduleName, Timetable},
};
use headway_store::{ListedSchedule, Store, StoreError};

use crate::suite::{
    Fixture,
    create::accept,
    driver::{Driver, Tree},
    name, task,
};

pub(crate) const HOUR: i64 = 3_600_000_000;

impl Fixture {
    /// Makes the spec of a job one that no version wrote; a handle that has not read the job
    /// before.
    pub(crate) async fn break_job(&self, job: &str) -> Store {
        let changed = self
            .sql(format!(
                "UPDATE job SET spec = '{{\"work\": \"of the future\"}}' WHERE job_id = '{job}'"
            ))
            .await;
        assert_eq!(changed, 1);
        self.another().await
    }

    pub(crate) async fn state(&self, job: &str) -> JobState {
        self.store.job(&name(job)).await.unwrap().job.state()
    }

    /// What is set aside, as `source key`.
    pub(crate) async fn aside(&self) -> Vec<String> {
        let rows = self.store.unreadable_rows(100).await.unwrap();
        assert!(rows.iter().all(|row| !row.reason.is_empty()));
        let mut names: Vec<_> = rows
            .iter()
            .map(|row| format!("{} {}", row.source, row.row_key))
            .collect();
        names.sort();
        names
    }

    pub(crate) async fn key_of(&self, job: &str) -> i64 {
        self.ints(format!(
            "SELECT job_key AS value FROM job WHERE job_id = '{job}'"
        ))
        .await[0]
    }
}

fn schedule_name(id: &str) -> ScheduleName {
    ScheduleName {
        partition: PartitionId::new("acme").unwrap(),
        schedule: JobId::new(id).unwrap(),
    }
}

fn schedule(overlap: Overlap) -> Schedule {
    Schedule {
        timetable: Timetable::new("0 3 * * *", "").unwrap(),
        overlap,
        catch_up_ms: 60_000,
        job: task("tick"),
    }
}

pub(crate) async fn a_schedule_that_comes_first(f: Fixture) {
    for id in ["broken", "whole"] {
        let schedule = schedule(Overlap::Allow);
        f.store
            .schedules()
            .create(&schedule_name(id), &schedule, &Caller::default())
            .await
            .unwrap();
    }
    let now = f.store.now();
    let due = |id: &str, at: i64| {
        format!("UPDATE schedule SET next_due = {at} WHERE schedule_id = '{id}'")
    };
    f.sql(due("broken", now - 2_000_000)).await;
    f.sql(due("whole", now - 1_000_000)).await;
    f.sql("UPDATE schedule SET time_zone = 'Mars/Olympus' WHERE schedule_id = 'broken'")
        .await;
    let fired = f.store.schedules().fire().await.unwrap();
    assert_eq!(fired.created.len(), 1);
    let view = f
        .store
        .schedules()
        .get(&schedule_name("whole"))
        .await
        .unwrap();
    assert_eq!(view.made, 1);
    assert_eq!(f.aside().await, ["schedule acme/broken"]);
    // Nobody looks at it in a circle.
    let next = f.store.schedules().next_due().await.unwrap().unwrap();
    assert!(next > now);
    // Lists show the others, and this one as what it is.
    let page = f
        .store
        .schedules()
        .list(&schedule_name("x").partition, "", 10)
        .await
        .unwrap();
    let [
        ListedSchedule::Unreadable(broken),
        ListedSchedule::Readable(whole),
    ] = page.schedules.as_slice()
    else {
        panic!("{:?}", page.schedules)
    };
    assert_eq!(whole.name, schedule_name("whole"));
    assert_eq!(broken.schedule, "broken");
    assert!(broken.reason.contains("Mars"), "{}", broken.reason);
    // Calls that need it say why they cannot go on.
    let schedules = f.store.schedules();
    let caller = Caller::default();
    let broken = schedule_name("broken");
    for refused in [
        schedules.get(&broken).await.map(drop),
        schedules.run(&broken, "", &caller).await.map(drop),
        schedules.set_paused(&broken, true, &caller).await.map(drop),
    ] {
        let StoreError::Domain(Error::ScheduleUnreadable { schedule, why }) = refused.unwrap_err()
        else {
            panic!("it was read")
        };
        assert_eq!(schedule, broken.to_string());
        assert!(why.contains("Mars"), "{why}");
    }
    // Once a client mends it, it goes on when its time to be tried again has come.
    f.store
        .schedules()
        .update(
            &schedule_name("broken"),
            &schedule(Overlap::Allow),
            None,
            &headway_domain::events::Caller::default(),
        )
        .await
        .unwrap();
    f.sql(due("broken", now - 2_000_000)).await;
    f.sql("UPDATE unreadable SET until = 0").await;
    let fired = f.store.schedules().fire().await.unwrap();
    assert_eq!(fired.created.len(), 1);
    assert_eq!(f.store.forget_unreadable().await.unwrap(), 1);
    assert!(f.aside().await.is_empty());
}

pub(crate) async fn an_outbox_row(f: Fixture) {
    accept(&f.store, "broken", task("x")).await;
    accept(&f.store, "whole", task("x")).await;
    let uid = f.ints("SELECT min(outbox_id) AS value FROM outbox").await[0];
    f.sql(format!(
        "UPDATE outbox SET kind = 99, created = created - {HOUR} WHERE outbox_id = {uid}"
    ))
    .await;
    let outbox = f.store.outbox_overdue(-1_000_000, 10).await.unwrap();
    assert_eq!(outbox.len(), 1);
    assert_eq!(f.aside().await, [format!("outbox {uid}")]);
    // It takes no place in the next round, and it is not lost.
    let outbox = f.store.outbox_overdue(-1_000_000, 1).await.unwrap();
    assert_eq!(outbox.len(), 1);
    assert_eq!(f.store.outbox_len().await.unwrap(), 2);
}

pub(crate) async fn a_release_task(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let needed = driver.begin(task("needed"), Tree::new(Vec::new())).await;
    for job in ["broken", "whole"] {
        let mut spec = task("x");
        spec.prerequisites = vec![Prerequisite {
            job: needed.name.job.clone(),
            optional: false,
        }];
        accept(&f.store, job, spec).await;
    }
    let settle = async |store: &Store| {
        for _ in 0..20 {
            if !store.release_dependents().await.unwrap().1 {
                return;
            }
        }
        panic!("the round does not end");
    };
    settle(&f.store).await;
    assert_eq!(f.state("whole").await, JobState::Waiting);
    // A task that a newer version wrote comes first.
    f.sql(
        "INSERT INTO release_task (task_id, kind, job_key, partition_id, job_id, after_key, created) \
         VALUES (7, 99, 0, 'acme', 'x', -1, 1)",
    )
    .await;
    let tasks = driver.take_tasks();
    driver
        .answer(&tasks, |_| headway_domain::reports::ItemEvent::Done)
        .await;
    settle(&f.store).await;
    assert_eq!(f.state("whole").await, JobState::Active);
    assert_eq!(f.aside().await, ["release 7"]);
    assert_eq!(f.store.release_tasks().await.unwrap(), 1);
}
