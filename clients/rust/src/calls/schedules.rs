//! Schedules.

use futures::Stream;
use headway::v1::{
    CreateScheduleRequest, DeleteScheduleRequest, GetScheduleRequest, Job, ListSchedulesRequest,
    ListSchedulesResponse, PauseScheduleRequest, ResumeScheduleRequest, RunScheduleRequest,
    Schedule, UpdateScheduleRequest,
};
use uuid::Uuid;

use crate::{
    Client, Error,
    client::{mask, pages},
    retry::Repeat,
};

/// Everything that [`Client::update_schedule`] can change.
pub const SCHEDULE_PATHS: [&str; 5] = ["cron", "time_zone", "overlap", "catch_up_window", "spec"];

/// `partitions/{partition}/schedules/{schedule}`.
pub fn schedule_name(partition: &str, schedule: &str) -> String {
    format!("partitions/{partition}/schedules/{schedule}")
}

impl Client {
    /// Makes jobs at times of a cron pattern from now on. It is sent a second time only if the
    /// server cannot have seen the first.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with field violations, `ALREADY_EXISTS`.
    pub async fn create_schedule(&self, request: CreateScheduleRequest) -> Result<Schedule, Error> {
        self.call(Repeat::Harmful, request, |mut stubs, request| async move {
            stubs.schedules.create_schedule(request).await
        })
        .await
    }

    /// Changes these fields of the schedule of this `name`: some of [`SCHEDULE_PATHS`].
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with field violations, `NOT_FOUND`, `ABORTED` if it does not have the
    /// etag that is set.
    pub async fn update_schedule(
        &self,
        schedule: Schedule,
        paths: &[&str],
    ) -> Result<Schedule, Error> {
        let request = UpdateScheduleRequest {
            schedule: Some(schedule),
            update_mask: mask(paths),
            ..UpdateScheduleRequest::default()
        };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.schedules.update_schedule(request).await
        })
        .await
    }

    /// Reads a schedule by its whole name.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn get_schedule(&self, name: &str) -> Result<Schedule, Error> {
        let name = name.to_owned();
        let request = GetScheduleRequest { name };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.schedules.get_schedule(request).await
        })
        .await
    }

    /// Reads one page of the schedules of a partition.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad partition or page token.
    pub async fn list_schedules(
        &self,
        request: ListSchedulesRequest,
    ) -> Result<ListSchedulesResponse, Error> {
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.schedules.list_schedules(request).await
        })
        .await
    }

    /// Reads the schedules of all pages, one page at a time as they are taken. Ends after the first
    /// error.
    pub fn schedules(
        &self,
        partition: &str,
    ) -> impl Stream<Item = Result<Schedule, Error>> + Send + 'static {
        let client = self.clone();
        let parent = format!("partitions/{partition}");
        pages(String::new(), move |page_token| {
            let client = client.clone();
            let request = ListSchedulesRequest {
                parent: parent.clone(),
                page_token,
                ..ListSchedulesRequest::default()
            };
            async move {
                let page = client.list_schedules(request).await?;
                Ok((page.schedules, page.next_page_token))
            }
        })
    }

    /// Makes no jobs until the schedule is resumed.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn pause_schedule(&self, name: &str) -> Result<Schedule, Error> {
        let name = name.to_owned();
        let request = PauseScheduleRequest { name };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.schedules.pause_schedule(request).await
        })
        .await
    }

    /// Makes jobs again, from the next time from now on.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn resume_schedule(&self, name: &str) -> Result<Schedule, Error> {
        let name = name.to_owned();
        let request = ResumeScheduleRequest { name };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.schedules.resume_schedule(request).await
        })
        .await
    }

    /// Makes a job of a schedule now, another one with each call.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn run_schedule(&self, name: &str) -> Result<Job, Error> {
        self.run_schedule_once(RunScheduleRequest {
            name: name.to_owned(),
            ..RunScheduleRequest::default()
        })
        .await
    }

    /// As [`Client::run_schedule`]; another call with the same request id returns the same job. A
    /// request without a request id is given a random one, so that its retries cannot make a second
    /// job.
    ///
    /// # Errors
    /// `NOT_FOUND`, `ALREADY_EXISTS` if the request id stands for a job of anything else.
    pub async fn run_schedule_once(&self, mut request: RunScheduleRequest) -> Result<Job, Error> {
        if request.request_id.is_empty() {
            request.request_id = Uuid::new_v4().to_string();
        }
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.schedules.run_schedule(request).await
        })
        .await
    }

    /// Removes a schedule; its jobs stay.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn delete_schedule(&self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        let request = DeleteScheduleRequest {
            name,
            ..DeleteScheduleRequest::default()
        };
        self.call(Repeat::Harmful, request, |mut stubs, request| async move {
            stubs.schedules.delete_schedule(request).await
        })
        .await
    }
}
