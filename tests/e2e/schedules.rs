//! Jobs that are made again and again.

use std::time::Duration;

use futures::TryStreamExt;
use headway::v1::{
    CreateScheduleRequest, JobSpec, JobState, ListJobsRequest, Partition, Schedule,
    schedule::OverlapPolicy,
};
use headway_client::{Code, Error, schedule_name};
use headway_tests::{Deployment, PATIENCE, Record, job_named, range, until};

use crate::{
    handlers::{quick, slow},
    waiting::stuck,
};

on_both!(
    jobs_are_made_at_their_times,
    clocks_are_put_forward_and_back,
    a_time_is_passed_over_while_a_job_runs,
    one_job_waits_for_the_one_before,
    the_one_before_is_cancelled,
    a_time_waits_for_room,
    a_paused_schedule_makes_nothing,
    a_schedule_is_changed_and_deleted,
    bad_schedules,
);

fn every_second(job: JobSpec) -> Schedule {
    Schedule {
        cron: "* * * * * *".to_owned(),
        job: Some(job),
        ..Schedule::default()
    }
}

async fn create(d: &Deployment, id: &str, schedule: Schedule) -> Result<Schedule, Error> {
    let request = CreateScheduleRequest {
        parent: "partitions/default".to_owned(),
        schedule_id: id.to_owned(),
        schedule: Some(schedule),
    };
    d.client().create_schedule(request).await
}

async fn get(d: &Deployment, id: &str) -> Schedule {
    let schedule = d.client().get_schedule(&schedule_name("default", id)).await;
    schedule.expect("is there")
}

/// Waits until a schedule is as wanted.
async fn once(
    d: &Deployment,
    id: &str,
    what: &str,
    wanted: impl Fn(&Schedule) -> bool,
) -> Schedule {
    until(what, PATIENCE, || async {
        let schedule = get(d, id).await;
        wanted(&schedule).then_some(schedule)
    })
    .await
}

/// Pauses a schedule, so that the test can end.
async fn stop(d: &Deployment, id: &str) {
    let paused = d
        .client()
        .pause_schedule(&schedule_name("default", id))
        .await;
    assert!(paused.expect("is there").paused);
}

async fn jobs(d: &Deployment, id: &str) -> Vec<(String, JobState)> {
    let request = ListJobsRequest {
        parent: "partitions/default".to_owned(),
        filter: format!("labels.headway.schedule = {id}"),
        order_by: "id".to_owned(),
        ..ListJobsRequest::default()
    };
    let jobs: Result<Vec<_>, Error> = d.client().jobs(request).try_collect().await;
    let jobs = jobs.unwrap().into_iter();
    jobs.map(|job| (job.name.clone(), job.state())).collect()
}

async fn all_end(d: &Deployment, id: &str) {
    until("the jobs to end", PATIENCE, || async {
        let jobs = jobs(d, id).await;
        let open = jobs.iter().any(|(_, state)| {
            matches!(
                state,
                JobState::Waiting | JobState::Active | JobState::Paused
            )
        });
        (!open).then_some(())
    })
    .await;
}

async fn jobs_are_made_at_their_times(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let made = create(&d, "tick", every_second(range(2, 2).build()))
        .await
        .unwrap();
    assert_eq!(made.name, "partitions/default/schedules/tick");
    assert_eq!((made.time_zone.as_str(), made.paused), ("UTC", false));
    assert!(made.next_run_time.is_some() && made.job.is_some());
    let ticked = once(&d, "tick", "three jobs", |schedule| schedule.job_count >= 3).await;
    stop(&d, "tick").await;
    all_end(&d, "tick").await;
    let jobs = jobs(&d, "tick").await;
    assert!(jobs.len() >= 3);
    for (name, state) in &jobs {
        assert_eq!(*state, JobState::Completed);
        // Named after its second, and made within one.
        let job = d.client().get_job(&name.parse().unwrap()).await.unwrap();
        let id = name.rsplit('-').next().unwrap();
        assert!(
            name.starts_with("partitions/default/jobs/tick-") && id.len() == 16,
            "{name}"
        );
        assert!(job.create_time.is_some());
    }
    let created = |name: &str| {
        let name = name.parse().unwrap();
        let client = d.client().clone();
        async move {
            client
                .get_job(&name)
                .await
                .unwrap()
                .create_time
                .unwrap()
                .seconds
        }
    };
    let last = ticked.last_run_time.unwrap().seconds;
    assert!(
        (0..=1).contains(&(created(&ticked.last_job).await - last)),
        "it was made late"
    );
    assert_eq!(record.total() as usize, jobs.len() * 2);
}

/// In Berlin half past two is not there on the last Sunday of March, and twice on that of October.
async fn clocks_are_put_forward_and_back(d: Deployment) {
    const HOUR: i64 = 3600;
    let next = async |id: &str, cron: &str, zone: &str| {
        let schedule = Schedule {
            cron: cron.to_owned(),
            time_zone: zone.to_owned(),
            ..every_second(range(1, 1).build())
        };
        let made = create(&d, id, schedule).await.unwrap();
        assert_eq!(made.time_zone, zone);
        made.next_run_time.expect("a time").seconds % (24 * HOUR)
    };
    let berlin = "Europe/Berlin";
    assert_eq!(next("utc", "0 12 1 7 *", "UTC").await, 12 * HOUR);
    assert_eq!(next("summer", "0 12 1 7 *", berlin).await, 10 * HOUR);
    assert_eq!(next("winter", "0 12 1 1 *", berlin).await, 11 * HOUR);
    // At three, when the clock goes on, which is one o'clock in UTC.
    assert_eq!(next("forward", "30 2 * 3 7#L", berlin).await, HOUR);
    // The first of both.
    assert_eq!(next("back", "30 2 * 10 7#L", berlin).await, HOUR / 2);
}

async fn a_time_is_passed_over_while_a_job_runs(d: Deployment) {
    create(&d, "skip", every_second(range(1, 1).build()))
        .await
        .unwrap();
    let skipped = once(&d, "skip", "times to be passed over", |schedule| {
        schedule.skip_count >= 2
    })
    .await;
    assert_eq!(skipped.job_count, 1);
    stop(&d, "skip").await;
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    all_end(&d, "skip").await;
    assert_eq!(jobs(&d, "skip").await.len(), 1);
}

async fn one_job_waits_for_the_one_before(d: Deployment) {
    let schedule = Schedule {
        overlap: OverlapPolicy::Queue.into(),
        ..every_second(range(1, 1).build())
    };
    create(&d, "queue", schedule).await.unwrap();
    let queued = once(&d, "queue", "times to be passed over", |schedule| {
        schedule.skip_count >= 2
    })
    .await;
    assert_eq!(queued.job_count, 2);
    stop(&d, "queue").await;
    let states: Vec<_> = jobs(&d, "queue")
        .await
        .into_iter()
        .map(|(_, state)| state)
        .collect();
    assert_eq!(states, [JobState::Active, JobState::Waiting]);
    let record = Record::default();
    d.worker(|worker| worker.handler(slow(&record, Duration::from_millis(20))));
    all_end(&d, "queue").await;
    assert_eq!((record.total(), record.most()), (2, 1));
}

async fn the_one_before_is_cancelled(d: Deployment) {
    let schedule = Schedule {
        overlap: OverlapPolicy::CancelPrevious.into(),
        ..every_second(range(1, 1).build())
    };
    create(&d, "newest", schedule).await.unwrap();
    once(&d, "newest", "three jobs", |schedule| {
        schedule.job_count >= 3
    })
    .await;
    stop(&d, "newest").await;
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    all_end(&d, "newest").await;
    let mut jobs = jobs(&d, "newest").await;
    let last = jobs.pop().expect("a job");
    assert_eq!(last.1, JobState::Completed);
    assert!(
        jobs.iter().all(|(_, state)| *state == JobState::Cancelled),
        "{jobs:?}"
    );
}

async fn a_time_waits_for_room(d: Deployment) {
    let client = d.client();
    let gate = d.create("gate", stuck().build()).await;
    let partition = Partition {
        name: "partitions/default".to_owned(),
        max_open_jobs: 1,
        ..Partition::default()
    };
    client
        .update_partition(partition, &["max_open_jobs"])
        .await
        .unwrap();
    let patient = |id: &'static str, seconds: i64| {
        let window = prost_types::Duration { seconds, nanos: 0 };
        let schedule = Schedule {
            catch_up_window: Some(window),
            ..every_second(range(1, 1).build())
        };
        create(&d, id, schedule)
    };
    let made = patient("patient", 3600).await.unwrap();
    let first = made.next_run_time.expect("a time");
    // Less than a second counts as one.
    patient("hasty", 0).await.unwrap();
    let hasty = once(&d, "hasty", "times to be too late", |schedule| {
        schedule.skip_count > 0
    })
    .await;
    assert_eq!(hasty.job_count, 0);
    stop(&d, "hasty").await;
    let waits = get(&d, "patient").await;
    assert_eq!(waits.next_run_time, Some(first));
    assert_eq!((waits.job_count, waits.skip_count), (0, 0));
    client.cancel_job(&gate).await.unwrap();
    let one = once(&d, "patient", "a job to be made", |schedule| {
        schedule.job_count == 1
    })
    .await;
    assert_eq!(one.last_run_time, Some(first));
    stop(&d, "patient").await;
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    all_end(&d, "patient").await;
}

async fn a_paused_schedule_makes_nothing(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let yearly = Schedule {
        cron: "@yearly".to_owned(),
        ..every_second(range(2, 2).build())
    };
    create(&d, "yearly", yearly).await.unwrap();
    stop(&d, "yearly").await;
    let paused = get(&d, "yearly").await;
    assert!(paused.paused && paused.next_run_time.is_none());
    // By hand it makes a job all the same.
    let name = schedule_name("default", "yearly");
    let job = d.client().run_schedule(&name).await.unwrap();
    d.finish(&job.name.parse().unwrap(), JobState::Completed)
        .await;
    assert_eq!(get(&d, "yearly").await.last_job, job.name);
    let resumed = d.client().resume_schedule(&name).await.unwrap();
    assert!(!resumed.paused && resumed.next_run_time.is_some() && resumed.job_count == 1);
}

async fn a_schedule_is_changed_and_deleted(d: Deployment) {
    let yearly = Schedule {
        cron: "@yearly".to_owned(),
        ..every_second(range(2, 2).build())
    };
    let first = create(&d, "plan", yearly.clone()).await.unwrap();
    for id in ["a", "b"] {
        create(&d, id, yearly.clone()).await.unwrap();
    }
    let taken = create(&d, "plan", yearly.clone()).await.unwrap_err();
    assert_eq!(
        (taken.code(), taken.reason()),
        (Code::AlreadyExists, Some("SCHEDULE_EXISTS"))
    );
    let changed = Schedule {
        name: first.name.clone(),
        cron: "@monthly".to_owned(),
        time_zone: "Asia/Tokyo".to_owned(),
        ..yearly
    };
    let changed = d.client().update_schedule(changed).await.unwrap();
    assert_eq!(changed.cron, "@monthly");
    assert_eq!(changed.create_time, first.create_time);
    let listed: Vec<Schedule> = d.client().schedules("default").try_collect().await.unwrap();
    let names: Vec<_> = listed
        .iter()
        .map(|one| one.name.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["a", "b", "plan"]);
    assert!(listed.iter().all(|one| one.job.is_none()));
    d.client().delete_schedule(&first.name).await.unwrap();
    for gone in [
        d.client().get_schedule(&first.name).await.map(|_| ()),
        d.client().delete_schedule(&first.name).await,
        d.client().run_schedule(&first.name).await.map(|_| ()),
        d.client().pause_schedule(&first.name).await.map(|_| ()),
    ] {
        let error = gone.unwrap_err();
        assert_eq!(
            (error.code(), error.reason()),
            (Code::NotFound, Some("SCHEDULE_NOT_FOUND"))
        );
    }
}

async fn bad_schedules(d: Deployment) {
    let good = || every_second(range(2, 2).build());
    let cases = [
        (
            "ok",
            Schedule {
                cron: "soon".to_owned(),
                ..good()
            },
            "schedule.cron",
        ),
        (
            "ok",
            Schedule {
                time_zone: "Mars".to_owned(),
                ..good()
            },
            "schedule.time_zone",
        ),
        (
            "ok",
            Schedule {
                overlap: 9,
                ..good()
            },
            "schedule.overlap",
        ),
        (
            "ok",
            Schedule {
                job: None,
                ..good()
            },
            "schedule.job",
        ),
        (
            "ok",
            every_second(range(2, 2).max_in_flight(-1).build()),
            "schedule.job.max_in_flight",
        ),
        (
            "ok",
            every_second(range(2, 2).after(job_named("x")).build()),
            "schedule.job.prerequisites",
        ),
        ("a/b", good(), "schedule_id"),
    ];
    for (id, schedule, field) in cases {
        let error = create(&d, id, schedule).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert_eq!(error.field_violations()[0].field, field, "{error}");
    }
    let long = create(&d, &"x".repeat(101), good()).await.unwrap_err();
    assert_eq!(long.field_violations()[0].field, "schedule_id");
    let error = d
        .client()
        .get_schedule("partitions/default/jobs/x")
        .await
        .unwrap_err();
    assert_eq!(error.field_violations()[0].field, "name");
}
