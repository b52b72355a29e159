//! Schedules that are paused, changed and deleted, and bad ones.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use headway::v1::{JobState, RunScheduleRequest, Schedule};
use headway_client::{Code, SCHEDULE_PATHS, schedule_name};
use headway_tests::{Deployment, Record, job_named, range};

use super::{all_end, create, every_second, get, stop};
use crate::handlers::quick;

on_both!(
    a_paused_schedule_makes_nothing,
    a_schedule_is_changed_and_deleted,
    a_repeated_run_is_one_job,
    bad_schedules,
);

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
    let changed = d.client().update_schedule(changed, &SCHEDULE_PATHS).await;
    let changed = changed.unwrap();
    assert_eq!(changed.cron, "@monthly");
    assert_eq!(changed.create_time, first.create_time);
    let listed: Vec<Schedule> = d.client().schedules("default").try_collect().await.unwrap();
    let names: Vec<_> = listed
        .iter()
        .map(|one| one.name.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["a", "b", "plan"]);
    assert!(listed.iter().all(|one| one.spec.is_none()));
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

async fn a_repeated_run_is_one_job(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let yearly = Schedule {
        cron: "@yearly".to_owned(),
        ..every_second(range(2, 2).build())
    };
    for id in ["plan", "other"] {
        create(&d, id, yearly.clone()).await.unwrap();
    }
    let run = |id: &str, request_id: &str| {
        let request = RunScheduleRequest {
            name: schedule_name("default", id),
            request_id: request_id.to_owned(),
        };
        let client = d.client().clone();
        async move { client.run_schedule_once(request).await }
    };
    let at_once = futures::future::join_all((0..8).map(|_| run("plan", "first"))).await;
    let names: BTreeSet<String> = at_once.into_iter().map(|job| job.unwrap().name).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let other = Schedule {
        name: schedule_name("default", "plan"),
        spec: Some(range(3, 3).build()),
        ..yearly
    };
    d.client().update_schedule(other, &["spec"]).await.unwrap();
    let again = run("plan", "first").await.unwrap();
    assert!(names.contains(&again.name), "the schedule has changed");
    assert!(!names.contains(&run("plan", "second").await.unwrap().name));
    let foreign = run("other", "first").await.unwrap_err();
    assert_eq!(
        (foreign.code(), foreign.reason()),
        (Code::AlreadyExists, Some("REQUEST_ID_REUSED"))
    );
    let long = run("plan", &"x".repeat(129)).await.unwrap_err();
    assert_eq!(long.field_violations()[0].field, "request_id");
    assert_eq!(get(&d, "plan").await.job_count, 2);
    all_end(&d, "plan").await;
    assert_eq!(record.total(), 5);
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
                spec: None,
                ..good()
            },
            "schedule.spec",
        ),
        (
            "ok",
            every_second(range(2, 2).max_in_flight(-1).build()),
            "schedule.spec.max_in_flight",
        ),
        (
            "ok",
            every_second(range(2, 2).after(job_named("x")).build()),
            "schedule.spec.prerequisites",
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
