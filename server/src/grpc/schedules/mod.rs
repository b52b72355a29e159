//! ScheduleService.

use bytes::Bytes;
use headway::v1::{self, schedule::OverlapPolicy, schedule_service_server::ScheduleService};
use headway_domain::{
    Error, JobId, PartitionId,
    event::Caller,
    schedule::{DEFAULT_CATCH_UP_MS, MAX_SCHEDULE_ID_BYTES, Overlap, Schedule, ScheduleName},
    spec::JobSpec,
    timetable::Timetable,
};
use headway_store::{ListedSchedule, ScheduleView, UnreadableSchedule};
use tonic::Request;

use super::{
    api::{Answer, Api, answer, now, received},
    jobs::view as job_view,
    request, spec,
    status::{ApiError, overtaken},
    tokens::Query,
    values::{duration, int, millis, timestamp},
    violations::Violations,
};

/// What of a schedule can be changed.
const PATHS: [&str; 5] = ["cron", "time_zone", "overlap", "catch_up_window", "job"];

/// What stands between a partition and a schedule's id.
const SEGMENT: &str = "/schedules/";

#[tonic::async_trait]
impl ScheduleService for Api {
    async fn create_schedule(
        &self,
        request: Request<v1::CreateScheduleRequest>,
    ) -> Answer<v1::Schedule> {
        let (request, caller) = received(request);
        answer(self.create_schedule(request, caller).await)
    }

    async fn update_schedule(
        &self,
        request: Request<v1::UpdateScheduleRequest>,
    ) -> Answer<v1::Schedule> {
        let (request, caller) = received(request);
        answer(self.update_schedule(request, caller).await)
    }

    async fn get_schedule(&self, request: Request<v1::GetScheduleRequest>) -> Answer<v1::Schedule> {
        answer(self.get_schedule(request.into_inner()).await)
    }

    async fn list_schedules(
        &self,
        request: Request<v1::ListSchedulesRequest>,
    ) -> Answer<v1::ListSchedulesResponse> {
        answer(self.list_schedules(request.into_inner()).await)
    }

    async fn pause_schedule(
        &self,
        request: Request<v1::PauseScheduleRequest>,
    ) -> Answer<v1::Schedule> {
        let (request, caller) = received(request);
        answer(self.set_paused(&request.name, true, caller).await)
    }

    async fn resume_schedule(
        &self,
        request: Request<v1::ResumeScheduleRequest>,
    ) -> Answer<v1::Schedule> {
        let (request, caller) = received(request);
        answer(self.set_paused(&request.name, false, caller).await)
    }

    async fn run_schedule(&self, request: Request<v1::RunScheduleRequest>) -> Answer<v1::Job> {
        let (request, caller) = received(request);
        answer(self.run_schedule(request, caller).await)
    }

    async fn delete_schedule(&self, request: Request<v1::DeleteScheduleRequest>) -> Answer<()> {
        let (request, caller) = received(request);
        answer(self.delete_schedule(request, caller).await)
    }
}

impl Api {
    pub(crate) async fn create_schedule(
        &self,
        request: v1::CreateScheduleRequest,
        caller: Caller,
    ) -> Result<v1::Schedule, ApiError> {
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
        let id = violations.take(schedule_id("schedule_id", request.schedule_id));
        let schedule = self
            .read_schedule(partition.as_ref(), request.schedule, &mut violations)
            .await?;
        let (partition, schedule_id, schedule) = violations.values((partition, id, schedule))?;
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

    pub(crate) async fn update_schedule(
        &self,
        request: v1::UpdateScheduleRequest,
        caller: Caller,
    ) -> Result<v1::Schedule, ApiError> {
        let mut violations = Violations::default();
        let mask = request::mask(request.update_mask, &PATHS, &mut violations);
        let mut wanted = request.schedule.unwrap_or_default();
        let etag = std::mem::take(&mut wanted.etag);
        let etag = request::etag(&etag);
        let name = violations.take(schedule_name("schedule.name", &wanted.name));
        if mask.len() == PATHS.len() {
            let partition = name.as_ref().map(|name| &name.partition);
            let schedule = self
                .read_schedule(partition, Some(wanted), &mut violations)
                .await?;
            let (name, schedule) = violations.values((name, schedule))?;
            let updated = self
                .store()
                .schedules()
                .update(&name, &schedule, etag, &caller);
            return full(&updated.await?);
        }
        let (name,) = violations.values((name,))?;
        loop {
            let known = self.store().schedules().get(&name).await?;
            let schedule = self.merged(&mask, wanted.clone(), &known).await?;
            let present = Some(etag.unwrap_or(&known.etag));
            let updated = self
                .store()
                .schedules()
                .update(&name, &schedule, present, &caller);
            match updated.await {
                Err(error) if etag.is_none() && overtaken(&error) => {}
                updated => return full(&updated?),
            }
        }
    }

    /// The fields that a mask names, and the others as they are.
    async fn merged(
        &self,
        mask: &[String],
        mut wanted: v1::Schedule,
        known: &ScheduleView,
    ) -> Result<Schedule, ApiError> {
        let named = |path: &str| mask.iter().any(|named| named == path);
        let present = wire(known, None);
        if !named("cron") {
            wanted.cron = present.cron;
        }
        if !named("time_zone") {
            wanted.time_zone = present.time_zone;
        }
        if !named("overlap") {
            wanted.overlap = present.overlap;
        }
        if !named("catch_up_window") {
            wanted.catch_up_window = present.catch_up_window;
        }
        let mut violations = Violations::default();
        let partition = Some(&known.name.partition);
        if named("job") {
            let schedule = self
                .read_schedule(partition, Some(wanted), &mut violations)
                .await?;
            return Ok(violations.values((schedule,))?.0);
        }
        // The job is kept as it is stored: its type does not make it anew.
        let job = Some(known.schedule.job.clone());
        let schedule = read_timing(wanted, job, &mut violations);
        Ok(violations.values((schedule,))?.0)
    }

    /// Reads a schedule. A job type makes the work now, and not anew each time.
    async fn read_schedule(
        &self,
        partition: Option<&PartitionId>,
        wire: Option<v1::Schedule>,
        violations: &mut Violations,
    ) -> Result<Option<Schedule>, ApiError> {
        let Some(mut wire) = wire else {
            violations.push("schedule", "must be set");
            return Ok(None);
        };
        let parent = partition.map(|partition| format!("partitions/{partition}"));
        let used = self
            .make_work(&parent.unwrap_or_default(), &mut wire.job)
            .await?;
        let job = spec::spec_of(partition, wire.job.take(), used, &self.splitters)
            .map_err(|error| error.within("schedule"));
        // A spec is read as that of CreateJob; here it stands under another name.
        let job = job.map_err(|error| renamed(error, "schedule.spec", "schedule.job"));
        let job = violations.take(job);
        Ok(read_timing(wire, job, violations))
    }

    pub(crate) async fn get_schedule(
        &self,
        request: v1::GetScheduleRequest,
    ) -> Result<v1::Schedule, ApiError> {
        let name = schedule_name("name", &request.name)?;
        match self.store().schedules().get_listed(&name).await? {
            ListedSchedule::Readable(view) => full(&view),
            ListedSchedule::Unreadable(schedule) => Ok(unreadable(schedule)),
        }
    }

    pub(crate) async fn list_schedules(
        &self,
        request: v1::ListSchedulesRequest,
    ) -> Result<v1::ListSchedulesResponse, ApiError> {
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
        let size = violations.take(request::page_size(request.page_size));
        let (partition, size) = violations.values((partition, size))?;
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
    async fn set_paused(
        &self,
        name: &str,
        paused: bool,
        caller: Caller,
    ) -> Result<v1::Schedule, ApiError> {
        let name = schedule_name("name", name)?;
        let held = self.store().schedules().set_paused(&name, paused, &caller);
        full(&held.await?)
    }

    pub(crate) async fn run_schedule(
        &self,
        request: v1::RunScheduleRequest,
        caller: Caller,
    ) -> Result<v1::Job, ApiError> {
        let name = schedule_name("name", &request.name)?;
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
        Ok(job_view::full(&view, &body)?)
    }

    pub(crate) async fn delete_schedule(
        &self,
        request: v1::DeleteScheduleRequest,
        caller: Caller,
    ) -> Result<(), ApiError> {
        let name = schedule_name("name", &request.name)?;
        let etag = request::etag(&request.etag);
        Ok(self
            .store()
            .schedules()
            .delete(&name, etag, &caller)
            .await?)
    }
}

/// Everything but the job, and the job as it was read.
fn read_timing(
    wire: v1::Schedule,
    job: Option<JobSpec>,
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
    let schedule = Schedule {
        timetable: timetable?,
        overlap,
        catch_up_ms: window.unwrap_or(DEFAULT_CATCH_UP_MS),
        job: job?,
    };
    violations.take(schedule.validate())?;
    Some(schedule)
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
    let job = spec::requested(&view.name.partition, &view.schedule.job)?;
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
        next_run_time: view.next.map(timestamp),
        last_run_time: view.last.map(timestamp),
        last_job,
        job_count: int(view.made),
        skip_count: int(view.skipped),
        create_time: Some(timestamp(view.created)),
        creator: view.creator.clone(),
        unreadable: String::new(),
        etag: view.etag.clone(),
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
        etag: schedule.etag,
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
