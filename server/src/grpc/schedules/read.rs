//! A schedule from the wire: its name, its times, and the job that it creates.

use headway::v1::{self, schedule::OverlapPolicy};
use headway_domain::{
    Error, JobId, PartitionId,
    jobs::JobSpec,
    schedules::{
        DEFAULT_CATCH_UP_MS, MAX_SCHEDULE_ID_BYTES, Overlap, Schedule, ScheduleName, Timetable,
    },
};
use headway_store::ScheduleView;

use super::view::wire;
use crate::grpc::{
    api::Api, request, spec, status::ApiError, values::duration, violations::Violations,
};

/// What stands between a partition and a schedule's id.
const SEGMENT: &str = "/schedules/";

impl Api {
    /// The fields that a mask names, and the others as they are.
    pub(super) async fn merged(
        &self,
        mask: &[String],
        mut wanted: v1::Schedule,
        known: &ScheduleView,
    ) -> Result<Schedule, ApiError> {
        let named = |path: &str| mask.iter().any(|named| named == path);
        let present = wire(known, None);
        if !named("time_zone") {
            wanted.time_zone = present.time_zone;
        }
        // What an earlier version accepted is not checked as if the client sent it.
        let timetable = match named("cron") {
            true => Timetable::new(&wanted.cron, &wanted.time_zone),
            false => Timetable::stored(&present.cron, &wanted.time_zone),
        };
        if !named("overlap") {
            wanted.overlap = present.overlap;
        }
        if !named("catch_up_window") {
            wanted.catch_up_window = present.catch_up_window;
        }
        let mut violations = Violations::default();
        // A job that is not named is kept as it is stored: its type does not make it again.
        let job = match named("spec") {
            true => {
                let partition = Some(&known.name.partition);
                self.read_job(partition, &mut wanted, &mut violations)
                    .await?
            }
            false => Some(known.schedule.job.clone()),
        };
        let schedule = read_timing(wanted, timetable, job, &mut violations);
        Ok(violations.values((schedule,))?.0)
    }

    /// Reads a schedule.
    pub(super) async fn read_schedule(
        &self,
        partition: Option<&PartitionId>,
        wire: Option<v1::Schedule>,
        violations: &mut Violations,
    ) -> Result<Option<Schedule>, ApiError> {
        let Some(mut wire) = wire else {
            violations.push("schedule", "must be set");
            return Ok(None);
        };
        let job = self.read_job(partition, &mut wire, violations).await?;
        let timetable = Timetable::new(&wire.cron, &wire.time_zone);
        Ok(read_timing(wire, timetable, job, violations))
    }

    /// Reads the job of a schedule. A job type makes the work now, and not again each time.
    async fn read_job(
        &self,
        partition: Option<&PartitionId>,
        wire: &mut v1::Schedule,
        violations: &mut Violations,
    ) -> Result<Option<JobSpec>, ApiError> {
        let parent = partition.map(|partition| format!("partitions/{partition}"));
        let used = self
            .make_work(&parent.unwrap_or_default(), &mut wire.spec)
            .await?;
        let job = spec::spec_of(partition, wire.spec.take(), used, &self.splitters)
            .map_err(|error| error.within("schedule"));
        Ok(violations.take(job))
    }
}

/// Everything but the job and its times, and these as they were read.
fn read_timing(
    wire: v1::Schedule,
    timetable: Result<Timetable, Error>,
    job: Option<JobSpec>,
    violations: &mut Violations,
) -> Option<Schedule> {
    let timetable = violations.take(timetable);
    let overlap = match OverlapPolicy::try_from(wire.overlap) {
        Ok(OverlapPolicy::Unspecified | OverlapPolicy::Skip) => Overlap::Skip,
        Ok(OverlapPolicy::Queue) => Overlap::Queue,
        Ok(OverlapPolicy::CancelPrevious) => Overlap::CancelPrevious,
        Ok(OverlapPolicy::Allow) => Overlap::Allow,
        Err(_) => {
            violations.push(
                "schedule.overlap",
                format!(
                    "must be SKIP, QUEUE, CANCEL_PREVIOUS or ALLOW (1 to 4), not {}",
                    wire.overlap
                ),
            );
            Overlap::Skip
        }
    };
    let window = wire.catch_up_window.map(duration);
    violations.check(window != Some(None), "schedule.catch_up_window", || {
        "must be 0 to 366 days".to_owned()
    });
    let window = window
        .flatten()
        .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let schedule = Schedule {
        timetable: timetable?,
        overlap,
        catch_up_ms: window.unwrap_or(DEFAULT_CATCH_UP_MS),
        job: job?,
    };
    violations.take(schedule.validate())?;
    Some(schedule)
}

pub(super) fn schedule_id(field: &str, id: String) -> Result<JobId, Error> {
    if id.len() > MAX_SCHEDULE_ID_BYTES {
        return Err(Error::field(
            field,
            format!("must be at most {MAX_SCHEDULE_ID_BYTES} bytes"),
        ));
    }
    JobId::new(id).map_err(|error| error.renamed(field))
}

pub(super) fn schedule_name(field: &str, name: &str) -> Result<ScheduleName, Error> {
    let wrong = || Error::field(field, "must be partitions/{partition}/schedules/{schedule}");
    // The partition, too, may be called `schedules`.
    let (parent, id) = name.rsplit_once(SEGMENT).ok_or_else(wrong)?;
    let partition = request::partition(parent).map_err(|error| error.renamed(field))?;
    Ok(ScheduleName {
        partition,
        schedule: schedule_id(field, id.to_owned())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_and_a_schedule_may_be_called_schedules() {
        let name = schedule_name("name", "partitions/schedules/schedules/schedules").unwrap();
        assert_eq!(name.partition.as_str(), "schedules");
        assert_eq!(name.schedule.as_str(), "schedules");
        for bad in [
            "",
            "schedules/x",
            "partitions/schedules",
            "partitions/p/schedules/",
            "partitions/p/jobs/x",
        ] {
            assert!(schedule_name("name", bad).is_err(), "{bad}");
        }
    }
}
