//! Schedules that this version cannot read.

use headway::v1::{CreateScheduleRequest, Schedule};
use headway_client::schedule_name;
use headway_tests::{Deployment, PATIENCE, range, until};
use sea_orm::ConnectionTrait;

use crate::measure::Measured;

on_both!(beside_schedules_that_cannot_be_read);

/// Schedules that cannot be read, all due.
const UNREADABLE: usize = 20;

async fn schedule(d: &Deployment, id: &str, cron: &str) {
    let schedule = Schedule {
        cron: cron.to_owned(),
        spec: Some(range(2, 2).build()),
        ..Schedule::default()
    };
    let request = CreateScheduleRequest {
        parent: "partitions/schedules".to_owned(),
        schedule_id: id.to_owned(),
        schedule: Some(schedule),
        ..CreateScheduleRequest::default()
    };
    d.client().create_schedule(request).await.unwrap();
}

/// How many jobs the schedule made that can be read.
async fn made(d: &Deployment) -> i64 {
    let name = schedule_name("schedules", "readable");
    d.client().get_schedule(&name).await.unwrap().job_count
}

async fn beside_schedules_that_cannot_be_read(d: Deployment) {
    let mut measured = Measured::with_worker(&d).await;
    for number in 0..UNREADABLE {
        schedule(&d, &format!("unreadable-{number}"), "0 3 1 1 *").await;
    }
    // They come before all others.
    let sql = "UPDATE schedule SET time_zone = 'Mars/Olympus', next_due = 1";
    let database = d.database().await.unwrap();
    database.execute_unprepared(sql).await.unwrap();
    schedule(&d, "readable", "* * * * * *").await;
    until("the rows to be set aside", PATIENCE, || async {
        let rows = d.store().unreadable_rows(100).await.unwrap();
        (rows.len() == UNREADABLE).then_some(())
    })
    .await;

    let before = made(&d).await;
    measured.beside(&d).await;
    until("the other schedule to fire", PATIENCE, || async {
        (made(&d).await >= before + 2).then_some(())
    })
    .await;
    let readable = schedule_name("schedules", "readable");
    d.client().pause_schedule(&readable).await.unwrap();
    let sql = "DELETE FROM schedule WHERE time_zone = 'Mars/Olympus'";
    database.execute_unprepared(sql).await.unwrap();
    database.close().await.unwrap();
    measured.judge(&d).await;
}
