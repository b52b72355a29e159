//! Opening watches of jobs and of the audit log.

use std::time::Duration;

use headway::v1::{
    WatchEventsRequest, WatchEventsResponse, WatchJobRequest, WatchJobResponse, WatchJobsRequest,
    WatchJobsResponse,
};
use tonic::Streaming;

use crate::{Client, Error, EventsWatch, JobName, JobsWatch, Watch};

impl Client {
    /// Follows a job: its present state, then the newest state whenever it changed, at most once
    /// per `min_interval` (the server's default if `None`), and the final state. See [`Watch`].
    pub fn watch(&self, name: &JobName, min_interval: Option<Duration>) -> Watch {
        Watch::new(self.clone(), name, min_interval)
    }

    /// Follows the jobs of a partition that match: a listing, then what changes. See [`JobsWatch`].
    /// `request.resume_token` need not be set: the watch goes on by itself.
    pub fn watch_jobs(&self, request: WatchJobsRequest) -> JobsWatch {
        JobsWatch::new(self.clone(), request)
    }

    /// Follows the audit log of a partition or job, from `request.resume_token` or from now on. See
    /// [`EventsWatch`].
    pub fn watch_events(&self, request: WatchEventsRequest) -> EventsWatch {
        EventsWatch::new(self.clone(), request)
    }

    /// Opens one `WatchJob` stream.
    pub(crate) async fn open_watch(
        &self,
        request: WatchJobRequest,
    ) -> Result<Streaming<WatchJobResponse>, Error> {
        let mut stubs = self.stubs.clone();
        self.open(stubs.jobs.watch_job(request)).await
    }

    /// Opens one `WatchJobs` stream.
    pub(crate) async fn open_jobs_watch(
        &self,
        request: WatchJobsRequest,
    ) -> Result<Streaming<WatchJobsResponse>, Error> {
        let mut stubs = self.stubs.clone();
        self.open(stubs.jobs.watch_jobs(request)).await
    }

    /// Opens one `WatchEvents` stream.
    pub(crate) async fn open_events_watch(
        &self,
        request: WatchEventsRequest,
    ) -> Result<Streaming<WatchEventsResponse>, Error> {
        let mut stubs = self.stubs.clone();
        self.open(stubs.events.watch_events(request)).await
    }
}
