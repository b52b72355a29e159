//! What schedules do about their jobs that have not ended, and about a clock that moves.

use std::collections::{BTreeMap, BTreeSet};

use headway_domain::{
    Error, JobId, JobName, JobState, PartitionId,
    error::Action,
    events::Caller,
    jobs::JobUpdate,
    schedules::{Overlap, Schedule, ScheduleName, Timetable},
};
use headway_store::{Created, FiredSchedules, NewJob, StoreError};

use crate::suite::{Fixture, name, new_job, task};

const MINUTE: i64 = 60_000_000;

fn nightly() -> ScheduleName {
    ScheduleName {
        partition: PartitionId::new("acme").unwrap(),
        schedule: JobId::new("nightly").unwrap(),
    }
}

impl Fixture {
    /// A schedule of every minute.
    async fn minutely(&self, overlap: Overlap) -> ScheduleName {
        let schedule = Schedule {
            timetable: Timetable::new("* * * * *", "").unwrap(),
            overlap,
            catch_up_ms: 24 * 3600 * 1000,
            job: task("tick"),
        };
        self.store
            .schedules()
            .create(&nightly(), &schedule, &Caller::default())
            .await
            .unwrap();
        nightly()
    }

    /// Looks at the schedule as if its next time had been so long ago.
    async fn fire(&self, ago: i64) -> FiredSchedules {
        let due = (self.store.now() - ago) / MINUTE * MINUTE;
        self.sql(format!("UPDATE schedule SET next_due = {due}, claimed = 0"))
            .await;
        self.store.schedules().fire().await.unwrap()
    }

    async fn run_once(&self, request_id: &str) -> Result<Created, StoreError> {
        let schedules = self.store.schedules();
        schedules
            .run(&nightly(), request_id, &Caller::default())
            .await
    }

    async fn run_now(&self) -> String {
        let ran = self.run_once("").await.unwrap();
        assert!(!ran.existed);
        ran.view.job.meta.name.job.to_string()
    }

    async fn control(&self, job: &str, action: Action) {
        self.store
            .control_job(&name(job), action, &Caller::default())
            .await
            .unwrap();
    }

    async fn is_in(&self, job: &str) -> JobState {
        self.store.job(&name(job)).await.unwrap().job.state()
    }
}

/// The job of an earlier time, and one that somebody asked for since and that ended first.
pub(crate) async fn every_open_job_counts(f: Fixture) {
    let schedule = f.minutely(Overlap::Skip).await;
    let fired = f.fire(10 * MINUTE).await;
    assert_eq!(fired.created.len(), 1);
    let timed = fired.created[0].view.job.meta.name.job.to_string();
    let asked = f.run_now().await;
    f.control(&asked, Action::Cancel).await;
    assert!(f.fire(5 * MINUTE).await.created.is_empty());
    // The same with the policy that queues: it waits for all of them.
    let again = f.run_now().await;
    f.sql("UPDATE schedule SET overlap = 1").await;
    let queued = f.fire(3 * MINUTE).await.created;
    assert_eq!(queued.len(), 1);
    let needs = &queued[0].view.prerequisites;
    let needs: BTreeSet<_> = needs.iter().map(|needed| needed.job.as_str()).collect();
    assert_eq!(needs, BTreeSet::from([timed.as_str(), again.as_str()]));
    assert!(f.fire(2 * MINUTE).await.created.is_empty());
    // And with the one that cancels: all of them.
    let waiting = queued[0].view.job.meta.name.job.to_string();
    f.sql("UPDATE schedule SET overlap = 2").await;
    f.fire(MINUTE).await;
    for job in [&timed, &again, &waiting] {
        assert_eq!(f.is_in(job).await, JobState::Cancelled, "{job}");
    }
    let view = f.store.schedules().get(&schedule).await.unwrap();
    assert!(view.skipped >= 2);
}

pub(crate) async fn a_job_that_was_retried_counts(f: Fixture) {
    f.minutely(Overlap::Skip).await;
    let first = f.run_now().await;
    f.control(&first, Action::Cancel).await;
    let second = f.run_now().await;
    f.control(&second, Action::Cancel).await;
    f.sql("UPDATE job_progress SET settled = 1").await;
    f.control(&first, Action::Retry).await;
    assert!(f.fire(2 * MINUTE).await.created.is_empty());
}

/// Twice within a second, and beside the job of a time.
pub(crate) async fn each_call_makes_a_job(f: Fixture) {
    let schedule = f.minutely(Overlap::Allow).await;
    let mut ids = BTreeSet::new();
    for _ in 0..5 {
        ids.insert(f.run_now().await);
    }
    assert_eq!(ids.len(), 5);
    let view = f.store.schedules().get(&schedule).await.unwrap();
    assert_eq!(view.made, 5);
    assert!(ids.contains(&view.last_job));
}

/// A job whose labels were changed, and jobs of clients that look like one.
pub(crate) async fn a_repeated_call_knows_its_own_job(f: Fixture) {
    let schedule = f.minutely(Overlap::Allow).await;
    let ran = f.run_once("first").await.unwrap().view.job.meta;
    let unlabelled = JobUpdate {
        labels: Some(BTreeMap::new()),
        ..JobUpdate::default()
    };
    let caller = Caller::default();
    let updated = f.store.update_job(&ran.name, unlabelled, &caller).await;
    assert!(updated.unwrap().view.job.meta.spec.labels.is_empty());
    let again = f.run_once("first").await.unwrap();
    assert!(again.existed);
    assert_eq!(again.view.job.meta.uid, ran.uid);

    let alike = JobName {
        job: schedule.job_now(f.store.now() + MINUTE).unwrap(),
        ..name("x")
    };
    for (request_id, foreign) in [("second", name("foreign")), ("third", alike)] {
        let mut spec = task("tick");
        let label = ("headway.schedule".to_owned(), "nightly".to_owned());
        spec.labels.extend([label]);
        let job = NewJob {
            request_id: request_id.to_owned(),
            ..new_job(foreign.clone(), spec)
        };
        f.store.create_job(job).await.unwrap();
        let refused = f.run_once(request_id).await.unwrap_err();
        let reused = StoreError::Domain(Error::RequestIdReused(foreign));
        assert_eq!(refused.to_string(), reused.to_string());
    }
    assert_eq!(f.count("job").await, 3);
}

/// A call that ended between its job and the schedule, as one whose process died.
pub(crate) async fn a_repeated_call_counts_its_job(f: Fixture) {
    let schedule = f.minutely(Overlap::Allow).await;
    let first = f.run_once("first").await.unwrap().view.job.meta;
    f.sql("UPDATE schedule SET made = 0, last_due = 0, last_job = ''")
        .await;
    let counted = async |made: u64, job: &JobId| {
        let view = f.store.schedules().get(&schedule).await.unwrap();
        assert_eq!((view.made, view.last_job.as_str()), (made, job.as_str()));
        view.last
    };
    for _ in 0..2 {
        assert!(f.run_once("first").await.unwrap().existed);
        let last = counted(1, &first.name.job).await;
        assert_eq!(last, Some(first.created));
    }
    // The repetition of an older call is no newer job.
    let second = f.run_once("second").await.unwrap().view.job.meta;
    f.run_once("first").await.unwrap();
    counted(2, &second.name.job).await;
}

pub(crate) async fn every_missed_time_is_made(f: Fixture) {
    f.minutely(Overlap::Allow).await;
    let fired = f.fire(10 * MINUTE).await;
    assert!(fired.created.len() >= 10, "{}", fired.created.len());
    let view = f.store.schedules().get(&nightly()).await.unwrap();
    assert_eq!(view.skipped, 0);
}

/// A next time that was found while the clock was a year ahead.
pub(crate) async fn a_clock_that_was_set_back(f: Fixture) {
    f.minutely(Overlap::Skip).await;
    assert_eq!(f.store.schedules().realign().await.unwrap(), 0);
    let year = 365 * 24 * 60 * MINUTE;
    f.sql(format!("UPDATE schedule SET next_due = next_due + {year}"))
        .await;
    assert_eq!(f.store.schedules().realign().await.unwrap(), 1);
    let next = f.store.schedules().next_due().await.unwrap().unwrap();
    assert!(next - f.store.now() <= MINUTE);
    // One that is paused stays so.
    f.store
        .schedules()
        .set_paused(&nightly(), true, &Caller::default())
        .await
        .unwrap();
    assert_eq!(f.store.schedules().realign().await.unwrap(), 0);
}
