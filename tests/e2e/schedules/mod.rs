//! Jobs that are made again and again.

mod changes;
mod downtime;
mod overlap;
mod times;

use futures::TryStreamExt;
use headway::v1::{CreateScheduleRequest, JobSpec, JobState, ListJobsRequest, Schedule};
use headway_client::{Error, schedule_name};
use headway_tests::{Deployment, PATIENCE, until};

fn every_second(job: JobSpec) -> Schedule {
    Schedule {
        cron: "* * * * * *".to_owned(),
        spec: Some(job),
        ..Schedule::default()
    }
}

async fn create(d: &Deployment, id: &str, schedule: Schedule) -> Result<Schedule, Error> {
    let request = CreateScheduleRequest {
        parent: "partitions/default".to_owned(),
        schedule_id: id.to_owned(),
        schedule: Some(schedule),
        ..CreateScheduleRequest::default()
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
