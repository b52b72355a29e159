//! The times at which schedules make jobs.

use headway::v1::{JobState, Partition, Schedule};
use headway_tests::{Deployment, Record, range};

use super::{all_end, create, every_second, get, jobs, once, stop};
use crate::{handlers::quick, prerequisites::waiting::stuck};

on_both!(
    jobs_are_made_at_their_times,
    clocks_are_put_forward_and_back,
    a_time_waits_for_room,
);

async fn jobs_are_made_at_their_times(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let made = create(&d, "tick", every_second(range(2, 2).build()))
        .await
        .unwrap();
    assert_eq!(made.name, "partitions/default/schedules/tick");
    assert_eq!((made.time_zone.as_str(), made.paused), ("UTC", false));
    assert!(made.next_run_time.is_some() && made.spec.is_some());
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
