//! Pausing, resuming, cancelling and retrying a job.

use headway::v1::{CancelJobRequest, Job, PauseJobRequest, ResumeJobRequest, RetryJobRequest};

use crate::{Client, Error, JobTarget, retry::Repeat};

impl Client {
    /// Holds a job that has not ended.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FAILED_PRECONDITION` with precondition violations.
    pub async fn pause_job(&self, job: impl Into<JobTarget>) -> Result<Job, Error> {
        let JobTarget { name, uid } = job.into();
        let request = PauseJobRequest { name, uid };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.jobs.pause_job(request).await
        })
        .await
    }

    /// Lets a paused job go on.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FAILED_PRECONDITION` with precondition violations.
    pub async fn resume_job(&self, job: impl Into<JobTarget>) -> Result<Job, Error> {
        let JobTarget { name, uid } = job.into();
        let request = ResumeJobRequest { name, uid };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.jobs.resume_job(request).await
        })
        .await
    }

    /// Ends a job that has not ended.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FAILED_PRECONDITION` with precondition violations.
    pub async fn cancel_job(&self, job: impl Into<JobTarget>) -> Result<Job, Error> {
        let JobTarget { name, uid } = job.into();
        let request = CancelJobRequest { name, uid };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.jobs.cancel_job(request).await
        })
        .await
    }

    /// Runs again what failed or was discarded. It is sent a second time only if the server
    /// cannot have seen the first, since two retries are two runs.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FAILED_PRECONDITION` with precondition violations, `UNAVAILABLE`.
    pub async fn retry_job(&self, job: impl Into<JobTarget>) -> Result<Job, Error> {
        self.retry(job.into(), false).await
    }

    /// As [`Client::retry_job`], and lets the jobs that failed because this one had wait for it
    /// again, and those that failed because of them.
    ///
    /// # Errors
    /// As [`Client::retry_job`].
    pub async fn retry_job_with_dependents(&self, job: impl Into<JobTarget>) -> Result<Job, Error> {
        self.retry(job.into(), true).await
    }

    async fn retry(&self, job: JobTarget, retry_dependents: bool) -> Result<Job, Error> {
        self.retry_failures(RetryJobRequest {
            name: job.name,
            uid: job.uid,
            retry_dependents,
            ..RetryJobRequest::default()
        })
        .await
    }

    /// As [`Client::retry_job`], for the failures that the request's filter means, also of a job
    /// that has not ended; or only says what the job would be like.
    ///
    /// # Errors
    /// As [`Client::retry_job`], and `FAILED_PRECONDITION` with reason `NOTHING_TO_RETRY`.
    pub async fn retry_failures(&self, request: RetryJobRequest) -> Result<Job, Error> {
        self.call(Repeat::Harmful, request, |mut stubs, request| async move {
            stubs.jobs.retry_job(request).await
        })
        .await
    }
}
