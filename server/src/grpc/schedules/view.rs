//! A schedule as the wire has it.

use headway::v1::{self, schedule::OverlapPolicy};
use headway_domain::schedules::Overlap;
use headway_store::{ListedSchedule, ScheduleView, UnreadableSchedule};

use crate::grpc::{
    spec,
    status::ApiError,
    values::{int, millis, timestamp},
};

pub(super) fn full(view: &ScheduleView) -> Result<v1::Schedule, ApiError> {
    let spec = spec::requested(&view.name.partition, &view.schedule.job)?;
    Ok(wire(view, Some(spec)))
}

pub(super) fn wire(view: &ScheduleView, spec: Option<v1::JobSpec>) -> v1::Schedule {
    let overlap = match view.schedule.overlap {
        Overlap::Skip => OverlapPolicy::Skip,
        Overlap::Queue => OverlapPolicy::Queue,
        Overlap::CancelPrevious => OverlapPolicy::CancelPrevious,
        Overlap::Allow => OverlapPolicy::Allow,
    };
    let last_job = match view.last_job.as_str() {
        "" => String::new(),
        id => format!("partitions/{}/jobs/{id}", view.name.partition),
    };
    v1::Schedule {
        name: view.name.to_string(),
        cron: view.schedule.timetable.cron.clone(),
        time_zone: view.schedule.timetable.time_zone.clone(),
        overlap: overlap.into(),
        catch_up_window: Some(millis(view.schedule.catch_up_ms)),
        spec,
        paused: view.paused,
        next_run_time: view.next.map(timestamp),
        last_run_time: view.last.map(timestamp),
        last_job,
        job_count: int(view.made),
        skip_count: int(view.skipped),
        create_time: Some(timestamp(view.created)),
        updated_by: view.creator.clone(),
        problem: String::new(),
        etag: view.etag.clone(),
    }
}

pub(super) fn listed(schedule: ListedSchedule) -> v1::Schedule {
    match schedule {
        ListedSchedule::Readable(view) => wire(&view, None),
        ListedSchedule::Unreadable(schedule) => unreadable(schedule),
    }
}

pub(super) fn unreadable(schedule: UnreadableSchedule) -> v1::Schedule {
    v1::Schedule {
        name: format!(
            "partitions/{}/schedules/{}",
            schedule.partition, schedule.schedule
        ),
        cron: schedule.cron,
        time_zone: schedule.time_zone,
        create_time: Some(timestamp(schedule.created)),
        updated_by: schedule.creator,
        etag: schedule.etag,
        problem: format!(
            "this version of Headway cannot read it, so it makes no jobs ({}); update it with a mask of all its fields, delete it, or run the version that wrote it",
            schedule.reason
        ),
        ..v1::Schedule::default()
    }
}
