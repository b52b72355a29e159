//! Rows that this version cannot read: each sweep sets them aside and goes on with the others, also where they come first.

use std::collections::BTreeSet;

use headway_domain::{
    JobId, JobState, PartitionId,
    event::Caller,
    filter::JobOrder,
    schedule::{Overlap, Schedule, ScheduleName},
    share::Share,
    start::Prerequisite,
    timetable::Timetable,
};
use headway_store::{JobFilter, ListedSchedule, Position, Store};

use super::{
    Fixture, batch,
    create::accept,
    driver::{Driver, Node, Tree, flat},
    events::{all, visible},
    failures::failure,
    name, task,
};

const HOUR: i64 = 3_600_000_000;

impl Fixture {
    /// Makes the spec of a job one that no version wrote; a handle that has not read the job before.
    async fn break_job(&self, job: &str) -> Store {
        let changed = self
            .sql(format!(
                "UPDATE job SET spec = '{{\"work\": \"of the future\"}}' WHERE job_id = '{job}'"
            ))
            .await;
        assert_eq!(changed, 1);
        self.another().await
    }

    async fn state(&self, job: &str) -> JobState {
        self.store.job(&name(job)).await.unwrap().job.state()
    }

    /// What is set aside, as `source key`.
    async fn aside(&self) -> Vec<String> {
        let rows = self.store.unreadable_rows(100).await.unwrap();
        assert!(rows.iter().all(|row| !row.reason.is_empty()));
        let mut names: Vec<_> = rows
            .iter()
            .map(|row| format!("{} {}", row.source, row.row_key))
            .collect();
        names.sort();
        names
    }

    async fn key_of(&self, job: &str) -> i64 {
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

pub async fn a_schedule_that_comes_first(f: Fixture) {
    for id in ["broken", "whole"] {
        let schedule = schedule(Overlap::Allow);
        f.store
            .create_schedule(&schedule_name(id), &schedule, &Caller::default())
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
    let fired = f.store.fire_schedules().await.unwrap();
    assert_eq!(fired.created.len(), 1);
    let view = f.store.schedule(&schedule_name("whole")).await.unwrap();
    assert_eq!(view.made, 1);
    assert_eq!(f.aside().await, ["schedule acme/broken"]);
    // Nobody looks at it in a circle.
    let next = f.store.next_schedule_due().await.unwrap().unwrap();
    assert!(next > now);
    // Lists show the others, and this one as what it is.
    let page = f
        .store
        .list_schedules(&schedule_name("x").partition, "", 10)
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
    // Once a client mends it, it goes on when its time to be tried again has come.
    f.store
        .update_schedule(
            &schedule_name("broken"),
            &schedule(Overlap::Allow),
            None,
            &headway_domain::event::Caller::default(),
        )
        .await
        .unwrap();
    f.sql(due("broken", now - 2_000_000)).await;
    f.sql("UPDATE unreadable SET until = 0").await;
    let fired = f.store.fire_schedules().await.unwrap();
    assert_eq!(fired.created.len(), 1);
    assert_eq!(f.store.forget_unreadable().await.unwrap(), 1);
    assert!(f.aside().await.is_empty());
}

pub async fn an_outbox_row(f: Fixture) {
    accept(&f.store, "broken", task("x")).await;
    accept(&f.store, "whole", task("x")).await;
    let uid = f.ints("SELECT min(outbox_id) AS value FROM outbox").await[0];
    f.sql(format!(
        "UPDATE outbox SET kind = 99, created = created - {HOUR} WHERE outbox_id = {uid}"
    ))
    .await;
    let owed = f.store.outbox_overdue(-1_000_000, 10).await.unwrap();
    assert_eq!(owed.len(), 1);
    assert_eq!(f.aside().await, [format!("outbox {uid}")]);
    // It takes no place in the next round, and it is not lost.
    let owed = f.store.outbox_overdue(-1_000_000, 1).await.unwrap();
    assert_eq!(owed.len(), 1);
    assert_eq!(f.store.outbox_len().await.unwrap(), 2);
}

pub async fn a_release_task(f: Fixture) {
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
        .answer(&tasks, |_| headway_domain::report::ItemEvent::Done)
        .await;
    settle(&f.store).await;
    assert_eq!(f.state("whole").await, JobState::Active);
    assert_eq!(f.aside().await, ["release 7"]);
    assert_eq!(f.store.release_tasks().await.unwrap(), 1);
}

pub async fn an_idle_job(f: Fixture) {
    accept(&f.store, "broken", task("x")).await;
    accept(&f.store, "whole", batch()).await;
    // As if a commit had been lost that asked for the split.
    let key = f.key_of("whole").await;
    f.sql(format!(
        "UPDATE page SET state = 1, todo = 1 WHERE job_key = {key}"
    ))
    .await;
    f.sql(format!("UPDATE job_progress SET unsplit = 1, splitting = 0, updated = updated - {HOUR} WHERE job_key = {key}"))
        .await;
    let broken = f.key_of("broken").await;
    f.sql(format!(
        "UPDATE job_progress SET updated = updated - {HOUR} WHERE job_key = {broken}"
    ))
    .await;
    let store = f.break_job("broken").await;
    let (committed, next) = store.advance_idle(HOUR / 2, 0).await.unwrap();
    assert_eq!((committed.owed.len(), next), (1, None));
    assert_eq!(f.aside().await, [format!("job {broken}")]);
    let (again, _) = store.advance_idle(HOUR / 2, 0).await.unwrap();
    assert!(again.changes.is_empty());
}

pub async fn jobs_that_start_or_expire(f: Fixture) {
    for job in ["broken", "whole"] {
        let mut driver = Driver::new(&f.store);
        accept(&f.store, job, task("x")).await;
        driver.pump().await;
    }
    let broken = f.key_of("broken").await;
    f.sql("UPDATE job_progress SET deadline = 2").await;
    f.sql(format!(
        "UPDATE job_progress SET deadline = 1 WHERE job_key = {broken}"
    ))
    .await;
    let store = f.break_job("broken").await;
    let (committed, _) = store.fire_jobs().await.unwrap();
    assert_eq!(committed.changes.len(), 1);
    assert_eq!(f.state("whole").await, JobState::Failed);
    assert_eq!(f.aside().await, [format!("job {broken}")]);
    assert_eq!(store.next_job_due().await.unwrap(), None);
    // The next sweep of another kind leaves it alone as well.
    f.sql("UPDATE job_progress SET expires = 1").await;
    f.sql("DELETE FROM unreadable").await;
    let (committed, _) = store.expire_jobs().await.unwrap();
    assert_eq!(committed.changes.len(), 1);
    assert_eq!(f.count("job").await, 1);
    assert_eq!(f.aside().await, [format!("job {broken}")]);
}

pub async fn timers_of_a_shard(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut jobs = Vec::new();
    for _ in 0..2 {
        let mut spec = batch();
        spec.retry_policy.max_attempts = 3;
        jobs.push(driver.begin(spec, Tree::new(flat(1))).await);
    }
    for at in driver.take_tasks() {
        let passing = headway_domain::effect::Failed {
            retryable: true,
            ..failure("BUSY", "again")
        };
        driver
            .say(&at, headway_domain::report::ItemEvent::Failed(passing))
            .await;
    }
    f.sql("UPDATE item SET shard = 0, due = 2").await;
    f.sql(format!(
        "UPDATE item SET due = 1 WHERE job_key = {}",
        jobs[0].key
    ))
    .await;
    let store = f.break_job(jobs[0].name.job.as_str()).await;
    let (committed, _) = store.fire_items(0, store.now()).await.unwrap();
    let uids: BTreeSet<_> = committed.owed.iter().map(|owed| owed.uid).collect();
    assert_eq!(uids, BTreeSet::from([jobs[1].uid]));
    assert_eq!(f.aside().await, [format!("job {}", jobs[0].key)]);
    assert_eq!(store.next_due(0).await.unwrap().first(), None);
}

pub async fn pages_to_split_again(f: Fixture) {
    for job in ["broken", "whole"] {
        accept(&f.store, job, batch()).await;
    }
    f.sql("UPDATE page SET state = 1, todo = 2, due = 1").await;
    f.sql("UPDATE job_progress SET unsplit = 1, splitting = 0")
        .await;
    let broken = f.key_of("broken").await;
    let store = f.break_job("broken").await;
    let committed = store.fire_pages().await.unwrap();
    assert_eq!(committed.owed.len(), 1);
    assert_eq!(f.aside().await, [format!("job {broken}")]);
    assert!(store.fire_pages().await.unwrap().owed.is_empty());
}

pub async fn shares_and_suspension(f: Fixture) {
    for job in ["broken", "whole"] {
        accept(&f.store, job, batch()).await;
    }
    let (broken, whole) = (f.key_of("broken").await, f.key_of("whole").await);
    let store = f.break_job("broken").await;
    let share = Share::of(77);
    store
        .set_shares(&[(broken, share), (whole, share)])
        .await
        .unwrap();
    let allowance = f
        .ints(format!(
            "SELECT allowance AS value FROM job_progress WHERE job_key = {whole}"
        ))
        .await;
    assert_eq!(allowance, [77]);
    let acme = PartitionId::new("acme").unwrap();
    store
        .set_suspended(&acme, true, &Caller::default())
        .await
        .unwrap();
    store.walk_partition(&acme, 0).await.unwrap();
    let suspended = f
        .ints(format!(
            "SELECT suspended AS value FROM job_progress WHERE job_key = {whole}"
        ))
        .await;
    assert_eq!(suspended, [1]);
    assert!(store.partitions_to_walk().await.unwrap().is_empty());
}

pub async fn a_row_of_a_list(f: Fixture) {
    for job in ["a", "broken", "c"] {
        accept(&f.store, job, task("x")).await;
    }
    let store = f.break_job("broken").await;
    let acme = PartitionId::new("acme").unwrap();
    let order = JobOrder::parse("id").unwrap();
    let mut after = None;
    let (mut ids, mut unreadable) = (Vec::new(), Vec::new());
    loop {
        let found = store
            .find_jobs(&acme, &JobFilter::default(), order, after.as_ref(), 1)
            .await
            .unwrap();
        ids.extend(
            found
                .jobs
                .iter()
                .map(|view| view.job.meta.name.job.to_string()),
        );
        unreadable.extend(found.unreadable);
        match found.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(ids, ["a", "c"]);
    assert_eq!(unreadable, ["broken"]);
}

pub async fn one_of_many_states(f: Fixture) {
    let mut uids = Vec::new();
    for number in 0..9 {
        let job = accept(&f.store, &format!("job-{number}"), task("x")).await;
        uids.push(job.view.job.meta.uid);
    }
    f.break_job("job-2").await;
    let store = f.break_job("job-7").await;
    let mut states = store.job_states(&uids).await.unwrap();
    states.unreadable.sort();
    let mut broken = vec![uids[2], uids[7]];
    broken.sort();
    assert_eq!(states.unreadable, broken);
    assert_eq!(states.views.len(), 7);
    // Also where what it is was read before, and how far it is cannot be read.
    let key = f.key_of("job-4").await;
    f.sql(format!(
        "UPDATE job_progress SET phase = 99 WHERE job_key = {key}"
    ))
    .await;
    let states = store.job_states(&uids[3..6]).await.unwrap();
    assert_eq!(states.unreadable, [uids[4]]);
    assert_eq!(states.views.len(), 2);
}

pub async fn an_event(f: Fixture) {
    for job in ["a", "broken", "c"] {
        accept(&f.store, job, task("x")).await;
    }
    visible(&f).await;
    // As a newer version may write it.
    f.sql("UPDATE event SET kind = 99 WHERE job_id = 'broken' AND kind = 1")
        .await;
    let (mut after, mut jobs, mut unreadable) = (Position::default(), Vec::new(), Vec::new());
    loop {
        let page = f.store.events(&all(), after, 1).await.unwrap();
        let names = page.events.iter().filter_map(|event| event.name.as_ref());
        jobs.extend(names.map(|name| name.job.to_string()));
        unreadable.extend(page.unreadable);
        assert!(page.next > after, "the reader goes on");
        after = page.next;
        if !page.more {
            break;
        }
    }
    assert_eq!(jobs, ["a", "a", "broken", "c", "c"]);
    assert_eq!(unreadable.len(), 1);
    assert!(unreadable[0].reason.contains("kind"), "{unreadable:?}");
}

pub async fn a_batch(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let folders = (0..3).map(|_| Node::Batch(flat(1))).collect();
    let job = driver.begin(batch(), Tree::new(folders)).await;
    let key = job.key;
    f.sql(format!(
        "UPDATE batch SET depth = -1 WHERE job_key = {key} AND number = 3"
    ))
    .await;
    let (mut above, mut numbers, mut unreadable) = (0, Vec::new(), Vec::new());
    loop {
        let page = f.store.list_batches(&job.name, Some(1), above, 1).await;
        let page = page.unwrap();
        numbers.extend(page.batches.iter().map(|batch| batch.number));
        unreadable.extend(page.unreadable);
        match page.next {
            Some(next) => above = next,
            None => break,
        }
    }
    assert_eq!((numbers, unreadable), (vec![2, 4], vec!["3".to_owned()]));
}

pub async fn a_job_type_and_a_partition(f: Fixture) {
    let caller = Caller::default();
    for id in ["a", "broken", "c"] {
        let partition = PartitionId::new(id).unwrap();
        f.store
            .set_suspended(&partition, true, &caller)
            .await
            .unwrap();
        let id = JobId::new(id).unwrap();
        let made = f.store.create_job_type(&id, "{}", &caller).await;
        made.unwrap();
    }
    f.sql("UPDATE partition_setting SET weight = -1 WHERE partition_id = 'broken'")
        .await;
    f.sql("UPDATE job_type SET type_id = 'b/b' WHERE type_id = 'broken'")
        .await;
    let (mut above, mut ids, mut unreadable) = (String::new(), Vec::new(), Vec::new());
    loop {
        let page = f.store.suspended_partitions(&above, 1).await.unwrap();
        ids.extend(
            page.partitions
                .iter()
                .map(|view| view.partition.to_string()),
        );
        unreadable.extend(page.unreadable);
        match page.next {
            Some(next) => above = next,
            None => break,
        }
    }
    above.clear();
    loop {
        let page = f.store.job_types(&above, 1).await.unwrap();
        ids.extend(page.types.iter().map(|view| view.id.to_string()));
        unreadable.extend(page.unreadable);
        match page.next {
            Some(next) => above = next,
            None => break,
        }
    }
    assert_eq!(ids, ["a", "c", "a", "c"]);
    assert_eq!(unreadable, ["broken", "b/b"]);
}
