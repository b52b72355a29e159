//! What the operations are about: rows that are made before each call.

use headway_domain::{
    JobId, JobUid, PartitionId, PipeName,
    error::Action,
    events::Caller,
    jobs::{JobSpec, Work},
    reports::{Failed, ItemEvent, PageReport},
    schedules::{Overlap, Schedule, ScheduleName, Timetable},
};
use headway_store::{PageSource, SplitPlan, StoreConfig};
use uuid::Uuid;

use super::operations::Operation;
use crate::suite::{
    Fixture, batch,
    driver::{Driver, Started, Task, Tree, flat, reports},
    failures::failure,
    name, task,
};

pub(crate) const HOUR: i64 = 3_600_000_000;

/// What a call is about.
pub(crate) struct Subject {
    /// How the handle was connected whose answers are lost.
    pub config: StoreConfig,
    pub driver: Driver,
    /// A job of four items, which are out.
    pub job: Started,
    pub done: Vec<PageReport>,
    /// A job whose first page is to be split.
    pub unsplit: Started,
    pub source: Option<Box<PageSource>>,
    pub outbox: Vec<i64>,
    /// A name, pipe or key that nobody has.
    pub fresh: Uuid,
    pub epoch: Option<Uuid>,
    /// A time after everything that was prepared.
    pub before: i64,
    /// Of the job type, as whoever changes it has read it.
    pub etag: String,
}

impl Subject {
    pub(crate) async fn prepare(f: &Fixture, config: &StoreConfig, operation: &Operation) -> Self {
        let mut driver = Driver::new(&f.store);
        let (job, unsplit) = match operation.of_jobs {
            true => (
                driver.begin(batch(), Tree::new(flat(4))).await,
                driver.create(batch(), Tree::new(flat(4))).await,
            ),
            false => (no_job(), no_job()),
        };
        let tasks = driver.take_tasks();
        let done = reports(&tasks, |_| ItemEvent::Done);
        let mut subject = Self {
            config: config.clone(),
            outbox: driver.outbox.drain(..).map(|message| message.id).collect(),
            driver,
            job,
            done,
            unsplit,
            source: None,
            fresh: Uuid::new_v4(),
            epoch: f.store.epoch_mark().await.unwrap(),
            before: f.store.now() + 1,
            etag: String::new(),
        };
        subject.prepare_more(f, operation.name, &tasks).await;
        subject
    }

    async fn prepare_more(&mut self, f: &Fixture, operation: &str, tasks: &[Task]) {
        let (job, unsplit) = (self.job.clone(), self.unsplit.clone());
        let (key, caller) = (job.key, Caller::default());
        let failed = |code: &str| ItemEvent::Failed(failure(code, "no"));
        match operation {
            "retry job" => {
                self.driver.answer(tasks, |_| failed("NO")).await;
            }
            "retry failures" => {
                self.driver.answer(&tasks[..2], |_| failed("NO")).await;
            }
            "drop dead letters" => {
                self.driver
                    .answer(&tasks[..2], |_| failed("DEAD_LETTERED"))
                    .await;
            }
            "renew leases" => {
                self.driver.answer(tasks, |_| ItemEvent::Leased).await;
            }
            "fire items" => {
                let event = Failed {
                    retryable: true,
                    ..failure("NO", "no")
                };
                let event = ItemEvent::Failed(event);
                self.driver.answer(tasks, |_| event.clone()).await;
                f.sql("UPDATE item SET due = 1 WHERE due > 0").await;
            }
            "plan dispatch" => {
                self.driver.control(&job, Action::Pause).await;
            }
            "discard untaken" => {
                self.driver.control(&job, Action::Cancel).await;
            }
            "hasten deferred" => {
                self.call(&f.store, "defer dispatch").await.unwrap();
                self.driver.control(&job, Action::Cancel).await;
            }
            "record split" => self.plan(f, 0).await,
            "fire pages" | "record split after a failure" => {
                let fault = Failed {
                    retryable: true,
                    ..failure("SPLIT_FAILED", "no")
                };
                f.store
                    .record_split_failure(unsplit.uid, 1, 0, fault)
                    .await
                    .unwrap();
                f.sql("UPDATE page SET due = 1 WHERE due > 0").await;
                if operation != "fire pages" {
                    f.store.fire_pages().await.unwrap();
                    self.plan(f, 1).await;
                }
            }
            "walk partition" => self.call(&f.store, "suspend partition").await.unwrap(),
            "remove pipe limits" => self.call(&f.store, "set pipe limits").await.unwrap(),
            "unused pipes" => {
                f.sql("DELETE FROM pipe").await;
            }
            "forget pipe" => {
                f.sql("INSERT INTO pipe (partition_id, name) VALUES ('acme', 'spare')")
                    .await;
            }
            "fire jobs" => {
                f.sql(format!(
                    "UPDATE job_progress SET deadline = 1 WHERE job_key = {key}"
                ))
                .await;
            }
            "advance idle" => {
                let key = unsplit.key;
                f.sql(format!(
                    "UPDATE page SET state = 1, todo = 1 WHERE job_key = {key}"
                ))
                .await;
                f.sql(format!(
                    "UPDATE job_progress SET unsplit = 1, splitting = 0, updated = 1 WHERE job_key = {key}"
                ))
                .await;
            }
            "release dependents" => {
                self.call(&f.store, "create waiting job").await.unwrap();
                self.driver.report(self.done.clone()).await;
            }
            "audit job" => {
                f.sql(format!(
                    "UPDATE job_progress SET done = 1, unreleased = 1 WHERE job_key = {key}"
                ))
                .await;
            }
            "expire jobs" => {
                self.driver.report(self.done.clone()).await;
                f.sql(format!(
                    "UPDATE job_progress SET expires = 1 WHERE job_key = {key}"
                ))
                .await;
            }
            "expire tombstones" => {
                f.sql("INSERT INTO tombstone (partition_id, job_id, state, root, cause, deleted) VALUES ('acme', 'gone', 1, '', '', 1)")
                    .await;
            }
            "collect garbage" => {
                f.store.delete_job(&job.name, &caller).await.unwrap();
                // More than one transaction removes.
                f.sql(format!(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5001) \
                     INSERT INTO split_retry (job_key, page, tries, due, message) SELECT {key}, i, 1, 1, '' FROM n"
                ))
                .await;
            }
            "forget unreadable" => {
                f.sql("INSERT INTO unreadable (source, row_key, until, tries, reason) VALUES ('job', '1', 1, 1, 'x')")
                    .await;
            }
            "release shards" => self.call(&f.store, "claim shards").await.unwrap(),
            "update job type" | "delete job type" => {
                self.call(&f.store, "create job type").await.unwrap();
                let kind = JobId::new("resize").unwrap();
                self.etag = f.store.job_types().get(&kind).await.unwrap().etag;
            }
            "shrink" => {
                f.sql("CREATE TABLE IF NOT EXISTS bulk (x BLOB); INSERT INTO bulk VALUES (zeroblob(8000000)); DROP TABLE bulk")
                    .await;
            }
            _ => self.prepare_schedule(f, operation).await,
        }
    }

    async fn prepare_schedule(&self, f: &Fixture, operation: &str) {
        let overlap = match operation {
            "fire schedule that skips" => Overlap::Skip,
            "fire schedule that queues" => Overlap::Queue,
            "fire schedule that cancels" => Overlap::CancelPrevious,
            _ if operation.contains("schedule") && operation != "create schedule" => Overlap::Allow,
            _ => return,
        };
        let caller = Caller::default();
        let (named, schedule) = (schedule_name(), schedule(f.store.now(), overlap));
        let created = f.store.schedules().create(&named, &schedule, &caller);
        let next = created.await.unwrap().next.unwrap();
        if operation.starts_with("fire") {
            // Two times have passed.
            let due = next - 2 * HOUR;
            f.sql(format!(
                "UPDATE schedule SET next_due = {due}, last_due = 0"
            ))
            .await;
        }
        match operation {
            "fire unreadable schedule" => {
                f.sql("UPDATE schedule SET time_zone = 'Mars/Olympus'")
                    .await;
            }
            "realign schedules" => {
                f.sql(format!(
                    "UPDATE schedule SET next_due = next_due + 24 * {HOUR}"
                ))
                .await;
            }
            _ => {}
        }
    }

    async fn plan(&mut self, f: &Fixture, attempt: u32) {
        let plan = f
            .store
            .plan_split(self.unsplit.uid, 1, attempt)
            .await
            .unwrap();
        let SplitPlan::Split(source) = plan else {
            panic!("the page is to be split");
        };
        self.source = Some(Box::new(source));
    }

    /// Lets the time pass after which a caller tries again.
    pub(crate) async fn wait(&self, f: &Fixture) {
        f.sql("UPDATE schedule SET claimed = 0").await;
    }

    /// A job that nobody created, on a pipe that nobody uses.
    pub(crate) fn spec(&self) -> JobSpec {
        let mut spec = task("x");
        spec.result_pipe = Some(PipeName::new(format!("results-{}", self.fresh)).unwrap());
        if let Work::Task(task) = &mut spec.work {
            task.pipe = PipeName::new(format!("pipe-{}", self.fresh)).unwrap();
        }
        spec
    }
}

/// What stands for the jobs where an operation is about none.
fn no_job() -> Started {
    Started {
        name: name("none"),
        uid: JobUid(Uuid::nil()),
        key: 0,
    }
}

pub(crate) fn schedule_name() -> ScheduleName {
    ScheduleName {
        partition: PartitionId::new("acme").unwrap(),
        schedule: JobId::new("hourly").unwrap(),
    }
}

/// Every hour, half an hour from now: no time comes while a test runs.
pub(crate) fn schedule(now: i64, overlap: Overlap) -> Schedule {
    let minute = (now / 60_000_000 + 30) % 60;
    Schedule {
        timetable: Timetable::new(&format!("{minute} * * * *"), "UTC").unwrap(),
        overlap,
        catch_up_ms: 24 * 3600 * 1000,
        job: task("tick"),
    }
}
