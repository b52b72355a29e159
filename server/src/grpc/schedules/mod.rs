//! ScheduleService.

mod read;
mod view;

use bytes::Bytes;
use headway::v1::{self, schedule_service_server::ScheduleService};
use headway_domain::{events::Caller, schedules::ScheduleName};
use headway_store::ListedSchedule;
use tonic::Request;

use self::{
    read::{schedule_id, schedule_name},
    view::{full, listed, unreadable},
};
use super::{
    api::{Answer, Api, answer, now, received},
    jobs::view as job_view,
    request,
    status::{ApiError, overtaken},
    tokens::Query,
    violations::Violations,
};

/// What of a schedule can be changed.
const PATHS: [&str; 5] = ["cron", "time_zone", "overlap", "catch_up_window", "spec"];

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
        let schedules = self.store().schedules().rehearsing(request.validate_only);
        full(&schedules.create(&name, &schedule, &caller).await?)
    }

    pub(crate) async fn update_schedule(
        &self,
        request: v1::UpdateScheduleRequest,
        caller: Caller,
    ) -> Result<v1::Schedule, ApiError> {
        let mut violations = Violations::default();
        let mask = request::mask(request.update_mask, &PATHS, &mut violations);
        let schedules = self.store().schedules().rehearsing(request.validate_only);
        let mut wanted = request.schedule.unwrap_or_default();
        let etag = std::mem::take(&mut wanted.etag);
        let etag = violations.take(request::etag("schedule.etag", &etag));
        let name = violations.take(schedule_name("schedule.name", &wanted.name));
        // Not by their number: a path may be named twice.
        if PATHS
            .iter()
            .all(|path| mask.iter().any(|named| named == path))
        {
            let partition = name.as_ref().map(|name| &name.partition);
            let schedule = self
                .read_schedule(partition, Some(wanted), &mut violations)
                .await?;
            let (name, etag, schedule) = violations.values((name, etag, schedule))?;
            let updated = schedules.update(&name, &schedule, etag, &caller);
            return full(&updated.await?);
        }
        let (name, etag) = violations.values((name, etag))?;
        loop {
            let known = schedules.get(&name).await?;
            let schedule = self.merged(&mask, wanted.clone(), &known).await?;
            let present = Some(etag.unwrap_or(&known.etag));
            let updated = schedules.update(&name, &schedule, present, &caller);
            match updated.await {
                Err(error) if etag.is_none() && overtaken(&error) => {}
                updated => return full(&updated?),
            }
        }
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
        let mut violations = Violations::default();
        let name = violations.take(schedule_name("name", &request.name));
        let request_id = violations.take(request::request_id(request.request_id));
        let (name, request_id) = violations.values((name, request_id))?;
        let (view, body) = self
            .change(move |relay, reply| async move {
                let schedules = relay.store().schedules();
                let mut created = match schedules.run(&name, &request_id, &caller).await {
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
        let mut violations = Violations::default();
        let name = violations.take(schedule_name("name", &request.name));
        let etag = violations.take(request::etag("etag", &request.etag));
        let (name, etag) = violations.values((name, etag))?;
        Ok(self
            .store()
            .schedules()
            .delete(&name, etag, &caller)
            .await?)
    }
}
