//! Schedules whose times come while nothing of Headway runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::TryStreamExt;
use headway::v1::{CreateScheduleRequest, ListJobsRequest, Schedule, schedule::OverlapPolicy};
use headway_client::schedule_name;
use headway_domain::{JobId, PartitionId, schedules::ScheduleName};
use headway_tests::{Cluster, ClusterOptions, PATIENCE, Role, range, run_cluster, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_headway-test-process");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded() {
    let options = ClusterOptions::embedded(PROGRAM);
    run_cluster(options, |cluster| missed_times(cluster, Role::Embedded)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster() {
    let options = ClusterOptions::new(PROGRAM);
    run_cluster(options, |cluster| missed_times(cluster, Role::Tracking)).await;
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

async fn create(cluster: &Cluster, id: &str, window: i64) {
    let schedule = Schedule {
        cron: "* * * * * *".to_owned(),
        catch_up_window: Some(prost_types::Duration {
            seconds: window,
            nanos: 0,
        }),
        // Each time has a job, whatever became of the one before.
        overlap: OverlapPolicy::CancelPrevious.into(),
        spec: Some(range(1, 1).build()),
        ..Schedule::default()
    };
    let request = CreateScheduleRequest {
        parent: "partitions/default".to_owned(),
        schedule_id: id.to_owned(),
        schedule: Some(schedule),
        ..CreateScheduleRequest::default()
    };
    cluster.client().create_schedule(request).await.unwrap();
}

async fn get(cluster: &Cluster, id: &str) -> Schedule {
    let name = schedule_name("default", id);
    cluster.client().get_schedule(&name).await.unwrap()
}

/// Whether there is a job for one of these seconds.
async fn made(cluster: &Cluster, id: &str, seconds: std::ops::Range<i64>) -> bool {
    let schedule = ScheduleName {
        partition: PartitionId::new("default").unwrap(),
        schedule: JobId::new(id).unwrap(),
    };
    for second in seconds {
        let job = schedule.job(second * 1_000_000).unwrap();
        let name = headway_tests::name(job.as_str());
        if cluster.client().get_job(&name).await.is_ok() {
            return true;
        }
    }
    false
}

async fn missed_times(cluster: Cluster, clock: Role) {
    create(&cluster, "caught", 3600).await;
    create(&cluster, "late", 1).await;
    for id in ["caught", "late"] {
        until("a job", PATIENCE, || async {
            (get(&cluster, id).await.job_count > 0).then_some(())
        })
        .await;
    }
    cluster.process(clock, 0).await.kill().await.unwrap();
    let away = now() + 1;
    // The times of two seconds pass, and are more than a second old when somebody looks again.
    until("their times to pass", PATIENCE, || async {
        (now() >= away + 4).then_some(())
    })
    .await;
    cluster.process(clock, 0).await.start().await.unwrap();
    let back = now();
    until("both to go on", PATIENCE, || async {
        let late = get(&cluster, "late").await;
        let goes_on = late.last_run_time.is_some_and(|time| time.seconds > back);
        (goes_on && made(&cluster, "caught", away..away + 2).await).then_some(())
    })
    .await;
    assert!(!made(&cluster, "late", away..away + 2).await);
    assert!(get(&cluster, "late").await.skip_count > 0);
    for id in ["caught", "late"] {
        let name = schedule_name("default", id);
        cluster.client().pause_schedule(&name).await.unwrap();
    }
    until("all jobs to end", Duration::from_secs(60), || async {
        let request = ListJobsRequest {
            parent: "partitions/default".to_owned(),
            ..ListJobsRequest::default()
        };
        let jobs: Vec<_> = cluster.client().jobs(request).try_collect().await.unwrap();
        let all = jobs.iter().all(|job| job.settled_time.is_some());
        all.then_some(())
    })
    .await;
}
