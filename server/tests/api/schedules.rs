//! Schedules that another version stored.

use headway::v1;
use headway_domain::{
    JobId, PartitionId, PipeName,
    events::Caller,
    jobs::{JobSpec, TaskSpec, Work},
    schedules::{Overlap, Schedule, ScheduleName, Timetable},
};
use tonic::Code;

use crate::harness::{Harness, PARENT, fields, mask, refused};

/// What an earlier version accepted, and this one does not.
const OLD: &str = "*/99 * * * *";

impl Harness {
    async fn old_schedule(&self, id: &str) -> String {
        assert!(Timetable::new(OLD, "").is_err());
        let schedule = Schedule {
            timetable: Timetable::stored(OLD, "UTC").unwrap(),
            overlap: Overlap::Skip,
            catch_up_ms: 60_000,
            job: JobSpec::new(Work::Task(TaskSpec {
                pipe: PipeName::new("documents").unwrap(),
                task_type: "export".to_owned(),
                payload: b"{}".to_vec(),
                content_type: String::new(),
                headers: [].into(),
            })),
        };
        let name = ScheduleName {
            partition: PartitionId::new("acme").unwrap(),
            schedule: JobId::new(id).unwrap(),
        };
        let schedules = self.store().schedules();
        schedules
            .create(&name, &schedule, &Caller::default())
            .await
            .unwrap();
        format!("{PARENT}/schedules/{id}")
    }
}

#[tokio::test]
async fn fields_that_are_not_named_are_not_checked() {
    let harness = Harness::start().await;
    let name = harness.old_schedule("old").await;
    let mut client = harness.clients().schedules;
    let wanted = v1::Schedule {
        name: name.clone(),
        overlap: v1::schedule::OverlapPolicy::Allow.into(),
        time_zone: "Asia/Tokyo".to_owned(),
        spec: Some(crate::harness::task()),
        ..v1::Schedule::default()
    };
    let update = |paths: &[&str]| v1::UpdateScheduleRequest {
        schedule: Some(wanted.clone()),
        update_mask: mask(paths),
        ..v1::UpdateScheduleRequest::default()
    };
    for path in ["overlap", "catch_up_window", "time_zone", "spec"] {
        let updated = client.update_schedule(update(&[path])).await;
        assert_eq!(updated.unwrap().get_ref().cron, OLD, "{path}");
    }
    let get = v1::GetScheduleRequest { name };
    let schedule = client.get_schedule(get).await.unwrap().into_inner();
    assert_eq!(schedule.time_zone, "Asia/Tokyo");
    assert_eq!(schedule.overlap(), v1::schedule::OverlapPolicy::Allow);
    let bad = v1::UpdateScheduleRequest {
        schedule: Some(v1::Schedule {
            cron: OLD.to_owned(),
            ..wanted.clone()
        }),
        ..update(&["cron"])
    };
    let (_, details) = refused(
        client.update_schedule(bad).await,
        Code::InvalidArgument,
        "INVALID_FIELDS",
    );
    assert_eq!(fields(&details), ["schedule.cron"]);
    harness.stop().await;
}
