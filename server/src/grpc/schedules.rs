//! Schedules.

use bytes::Bytes;
use headway::v1::{self, schedule::OverlapPolicy};
use headway_domain::{
    Error, JobId,
    event::Caller,
    schedule::{DEFAULT_CATCH_UP_MS, MAX_SCHEDULE_ID_BYTES, Overlap, Schedule, ScheduleName},
    spec::TypeUse,
    timetable::Timetable,
};
use headway_store::{ListedSchedule, ScheduleView, StoreError, UnreadableSchedule};

use super::{
    api::{JobApi, now},
    convert_in,
    convert_out::{self, int, millis, timestamp},
    page_token::Query,
    request::{self, duration},
    status::ApiError,
    violations::Violations,
};

/// What stands between a partition and a schedule's id.
const SEGMENT: &str = "/schedules/";

impl JobApi {
    /// CreateSchedule.
    pub(super) async fn make_schedule(
        &self,
        request: v1::CreateScheduleRequest,
        caller: Caller,
    ) -> Result<v1::Schedule, ApiError> {
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
        let id = violations.take(schedule_id("schedule_id", request.schedule_id));
        let schedule = self
            .read_schedule(&request.parent, request.schedule, &mut violations)
            .await?;
        violations.finish()?;
        let (Some(partition), Some(schedule_id), Some(schedule)) = (partition, id, schedule) else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let name = ScheduleName {
            partition,
            schedule: schedule_id,
        };
        let view = self
            .store()
            .schedules()
            .create(&name, &schedule, &caller)
            .await?;
        full(&view)
    }

    /// UpdateSchedule.
    pub(super) async fn change_schedule(
        &self,
        request: v1::UpdateScheduleRequest,
        caller: Caller,
    ) -> Result<v1::Schedule, ApiError> {
        let mut violations = Violations::default();
        let name = request
            .schedule
            .as_ref()
            .map(|schedule| schedule.name.clone());
        let name = violations.take(schedule_name("schedule.name", &name.unwrap_or_default()));
        let parent = name
            .as_ref()
            .map(|name| format!("partitions/{}", name.partition));
        let schedule = self
            .read_schedule(
                &parent.unwrap_or_default(),
                request.schedule,
                &mut violations,
            )
            .await?;
        violations.finish()?;
        let (Some(name), Some(schedule)) = (name, schedule) else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let updated = self.store().schedules().update(&name, &schedule, &caller);
        full(&updated.await?)
    }

    /// Reads a schedule. A job type makes the work now, and not anew each time.
    async fn read_schedule(
        &self,
        parent: &str,
        wire: Option<v1::Schedule>,
        violations: &mut Violations,
    ) -> Result<Option<Schedule>, ApiError> {
        let Some(mut wire) = wire else {
            violations.push("schedule", "must be set");
            return Ok(None);
        };
        let used = self.make_work(parent, &mut wire.job).await?;
        Ok(self.read_fields(wire, used, violations))
    }

    fn read_fields(
        &self,
        wire: v1::Schedule,
        used: Option<TypeUse>,
        violations: &mut Violations,
    ) -> Option<Schedule> {
        let timetable = violations.take(Timetable::new(&wire.cron, &wire.time_zone));
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
        let job = convert_in::spec_of(wire.job, used, &self.splitters)
            .map_err(|error| error.within("schedule"));
        // A spec is read as that of CreateJob; here it stands under another name.
        let job = job.map_err(|error| renamed(error, "schedule.spec", "schedule.job"));
        let schedule = Schedule {
            timetable: timetable?,
            overlap,
            catch_up_ms: window.unwrap_or(DEFAULT_CATCH_UP_MS),
            job: violations.take(job)?,
        };
        violations.take(schedule.validate())?;
        Some(schedule)
    }

    /// GetSchedule.
    pub(super) async fn read_one_schedule(&self, name: &str) -> Result<v1::Schedule, ApiError> {
        let name = schedule_name("name", name)?;
        match self.store().schedules().get_listed(&name).await? {
            ListedSchedule::Readable(view) => full(&view),
            ListedSchedule::Unreadable(schedule) => Ok(unreadable(schedule)),
        }
    }

    /// ListSchedules.
    pub(super) async fn schedules(
        &self,
        request: v1::ListSchedulesRequest,
    ) -> Result<v1::ListSchedulesResponse, ApiError> {
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
        let size = violations.take(request::page_size(request.page_size));
        violations.finish()?;
        let (Some(partition), Some(size)) = (partition, size) else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let query = Query::new("schedules").with(partition.as_str());
        let above = query.text(&request.page_token, now())?.unwrap_or_default();
        let page = self
            .store()
            .schedules()
            .list(&partition, &above, size)
            .await?;
        let next_page_token = page.next.map(|id| query.text_token(&id, now()));
        Ok(v1::ListSchedulesResponse {
            schedules: page.schedules.into_iter().map(listed).collect(),
            next_page_token: next_page_token.unwrap_or_default(),
        })
    }

    /// PauseSchedule and ResumeSchedule.
    pub(super) async fn hold_schedule(
        &self,
        name: &str,
        paused: bool,
        caller: Caller,
    ) -> Result<v1::Schedule, ApiError> {
        let name = schedule_name("name", name)?;
        let held = self.store().schedules().set_paused(&name, paused, &caller);
        full(&held.await?)
    }

    /// RunSchedule.
    pub(super) async fn run_now(&self, name: &str, caller: Caller) -> Result<v1::Job, ApiError> {
        let name = schedule_name("name", name)?;
        let (view, body) = self
            .change(move |relay, reply| async move {
                let mut created = match relay.store().schedules().run(&name, &caller).await {
                    Ok(created) => created,
                    Err(error) => return drop(reply.send(Err(error))),
                };
                let body = Bytes::from(created.view.body.take().unwrap_or_default());
                let answer = (created.view.clone(), body.clone());
                // A caller that went away finds the job among those of the schedule.
                drop(reply.send(Ok(answer)));
                relay.publish_created(&created, body).await;
            })
            .await?;
        Ok(convert_out::full(&view, &body)?)
    }

    /// DeleteSchedule.
    pub(super) async fn remove_schedule(&self, name: &str, caller: Caller) -> Result<(), ApiError> {
        let name = schedule_name("name", name)?;
        Ok(self.store().schedules().delete(&name, &caller).await?)
    }
}

/// Puts another path before the fields of an `Invalid`.
fn renamed(error: Error, from: &str, to: &str) -> Error {
    match error {
        Error::Invalid(mut list) => {
            for violation in &mut list {
                if let Some(rest) = violation.field.strip_prefix(from) {
                    violation.field = format!("{to}{rest}");
                }
            }
            Error::Invalid(list)
        }
        other => other,
    }
}

fn schedule_id(field: &str, id: String) -> Result<JobId, Error> {
    if id.len() > MAX_SCHEDULE_ID_BYTES {
        return Err(Error::field(
            field,
            format!("must be at most {MAX_SCHEDULE_ID_BYTES} bytes"),
        ));
    }
    JobId::new(id).map_err(|error| error.renamed(field))
}

fn schedule_name(field: &str, name: &str) -> Result<ScheduleName, Error> {
    let wrong = || Error::field(field, "must be partitions/{partition}/schedules/{schedule}");
    // The partition, too, may be called `schedules`.
    let (parent, id) = name.rsplit_once(SEGMENT).ok_or_else(wrong)?;
    let partition = request::partition(parent).map_err(|error| error.renamed(field))?;
    Ok(ScheduleName {
        partition,
        schedule: schedule_id(field, id.to_owned())?,
    })
}

fn full(view: &ScheduleView) -> Result<v1::Schedule, ApiError> {
    let job = convert_out::whole_spec(&view.schedule.job).map_err(|error: StoreError| error)?;
    Ok(wire(view, Some(job)))
}

fn wire(view: &ScheduleView, job: Option<v1::JobSpec>) -> v1::Schedule {
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
        job,
        paused: view.paused,
        next_time: view.next.map(timestamp),
        last_time: view.last.map(timestamp),
        last_job,
        jobs_made: int(view.made),
        times_skipped: int(view.skipped),
        create_time: Some(timestamp(view.created)),
        creator: view.creator.clone(),
        unreadable: String::new(),
    }
}

fn listed(schedule: ListedSchedule) -> v1::Schedule {
    match schedule {
        ListedSchedule::Readable(view) => wire(&view, None),
        ListedSchedule::Unreadable(schedule) => unreadable(schedule),
    }
}

fn unreadable(schedule: UnreadableSchedule) -> v1::Schedule {
    v1::Schedule {
        name: format!(
            "partitions/{}/schedules/{}",
            schedule.partition, schedule.schedule
        ),
        cron: schedule.cron,
        time_zone: schedule.time_zone,
        create_time: Some(timestamp(schedule.created)),
        creator: schedule.creator,
        unreadable: format!(
            "this version of Headway cannot read it, so it makes no jobs ({}); update or delete it, or run the version that wrote it",
            schedule.reason
        ),
        ..v1::Schedule::default()
    }
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
