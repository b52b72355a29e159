//! The calls: one method for each RPC, with a deadline and retries where they are harmless.

use std::{future::Future, sync::Arc, time::Duration};

use futures::{Stream, stream};
use headway::v1::{
    CancelJobRequest, CreateJobRequest, DeleteJobRequest, Failure, FailureFilter, GetJobRequest,
    Job, JobSpec, ListFailuresRequest, ListFailuresResponse, ListJobsRequest, ListJobsResponse,
    PauseJobRequest, ResumeJobRequest, RetryJobRequest, UpdateJobRequest, WatchEventsRequest,
    WatchEventsResponse, WatchJobRequest, WatchJobResponse, WatchJobsRequest, WatchJobsResponse,
    job_service_client::JobServiceClient,
};
use prost_types::FieldMask;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::{
    Code, Response, Status, Streaming,
    metadata::{MetadataMap, MetadataValue},
    transport::Channel,
};

use crate::{
    ClientConfig, Error, EventsWatch, JobName, JobsWatch, Watch,
    retry::{Repeat, backoff},
};

/// A client of one Headway server. Cheap to clone; clones share the connection.
#[derive(Debug, Clone)]
pub struct Client {
    stub: JobServiceClient<Channel>,
    config: Arc<ClientConfig>,
}

/// A request to create a job with `spec` in `partition`, under an id that the server chooses.
pub fn create_request(partition: &str, spec: JobSpec) -> CreateJobRequest {
    CreateJobRequest {
        parent: format!("partitions/{partition}"),
        spec: Some(spec),
        ..CreateJobRequest::default()
    }
}

impl Client {
    /// Connects to the server. A connection that is lost later is made again by itself.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an address that cannot be used, `UNAVAILABLE` if no connection
    /// could be made within [`ClientConfig::connect_timeout`].
    pub async fn connect(config: ClientConfig) -> Result<Self, Error> {
        let endpoint = config.endpoint()?;
        let channel = endpoint.connect().await.map_err(Error::connect)?;
        Ok(Self::over(channel, config))
    }

    /// A client that connects with its first call. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an address that cannot be used.
    pub fn lazy(config: ClientConfig) -> Result<Self, Error> {
        let channel = config.endpoint()?.connect_lazy();
        Ok(Self::over(channel, config))
    }

    fn over(channel: Channel, config: ClientConfig) -> Self {
        let stub =
            JobServiceClient::new(channel).max_decoding_message_size(config.max_response_bytes);
        Self {
            stub,
            config: Arc::new(config),
        }
    }

    /// The configuration that the client was made with.
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// Creates a job. A request without job id and request id is given a random request id, so
    /// that its retries cannot make a second job.
    ///
    /// # Errors
    /// As `CreateJob` answers: `INVALID_ARGUMENT` with field violations, `ALREADY_EXISTS` with
    /// resource info.
    pub async fn create_job(&self, mut request: CreateJobRequest) -> Result<Job, Error> {
        if request.job_id.is_empty() && request.request_id.is_empty() {
            request.request_id = uuid::Uuid::new_v4().to_string();
        }
        self.call(Repeat::Harmless, request, |mut stub, request| async move {
            stub.create_job(request).await
        })
        .await
    }

    /// Reads one job.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn get_job(&self, name: &JobName) -> Result<Job, Error> {
        let name = name.to_string();
        let request = GetJobRequest { name };
        self.call(Repeat::Harmless, request, |mut stub, request| async move {
            stub.get_job(request).await
        })
        .await
    }

    /// Reads one page of a partition's jobs, newest first.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad filter or page token.
    pub async fn list_jobs(&self, request: ListJobsRequest) -> Result<ListJobsResponse, Error> {
        self.call(Repeat::Harmless, request, |mut stub, request| async move {
            stub.list_jobs(request).await
        })
        .await
    }

    /// Reads the jobs of all pages, one page at a time as they are taken, from
    /// `request.page_token` on. Ends after the first error.
    pub fn jobs(
        &self,
        request: ListJobsRequest,
    ) -> impl Stream<Item = Result<Job, Error>> + Send + 'static {
        let client = self.clone();
        pages(request.page_token.clone(), move |page_token| {
            let client = client.clone();
            let mut request = request.clone();
            request.page_token = page_token;
            async move {
                let page = client.list_jobs(request).await?;
                Ok((page.jobs, page.next_page_token))
            }
        })
    }

    /// Follows a job: its present state, then the newest state whenever it changed, at most once
    /// per `min_interval` (the server's default if `None`), and the final state. See [`Watch`].
    pub fn watch(&self, name: &JobName, min_interval: Option<Duration>) -> Watch {
        Watch::new(self.clone(), name, min_interval)
    }

    /// Follows the jobs of a partition that match: a listing, then what changes. See [`JobsWatch`]. `request.resume_token`
    /// need not be set: the watch goes on by itself.
    pub fn watch_jobs(&self, request: WatchJobsRequest) -> JobsWatch {
        JobsWatch::new(self.clone(), request)
    }

    /// Follows the audit log of a partition or job, after `request.after` or from now on. See [`EventsWatch`].
    pub fn watch_events(&self, request: WatchEventsRequest) -> EventsWatch {
        EventsWatch::new(self.clone(), request)
    }

    /// Holds a job that has not ended.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FAILED_PRECONDITION` with precondition violations.
    pub async fn pause_job(&self, name: &JobName) -> Result<Job, Error> {
        let name = name.to_string();
        let request = PauseJobRequest { name };
        self.call(Repeat::Harmless, request, |mut stub, request| async move {
            stub.pause_job(request).await
        })
        .await
    }

    /// Lets a paused job go on.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FAILED_PRECONDITION` with precondition violations.
    pub async fn resume_job(&self, name: &JobName) -> Result<Job, Error> {
        let name = name.to_string();
        let request = ResumeJobRequest { name };
        self.call(Repeat::Harmless, request, |mut stub, request| async move {
            stub.resume_job(request).await
        })
        .await
    }

    /// Ends a job that has not ended.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FAILED_PRECONDITION` with precondition violations.
    pub async fn cancel_job(&self, name: &JobName) -> Result<Job, Error> {
        let name = name.to_string();
        let request = CancelJobRequest { name };
        self.call(Repeat::Harmless, request, |mut stub, request| async move {
            stub.cancel_job(request).await
        })
        .await
    }

    /// Runs again what failed or was discarded. It is sent a second time only if the server
    /// cannot have seen the first, since two retries are two runs.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FAILED_PRECONDITION` with precondition violations, `UNAVAILABLE`.
    pub async fn retry_job(&self, name: &JobName) -> Result<Job, Error> {
        self.retry(name, false).await
    }

    /// As [`Client::retry_job`], and lets the jobs that failed because this one had wait for it again, and those that failed
    /// because of them.
    ///
    /// # Errors
    /// As [`Client::retry_job`].
    pub async fn retry_job_with_dependents(&self, name: &JobName) -> Result<Job, Error> {
        self.retry(name, true).await
    }

    async fn retry(&self, name: &JobName, retry_dependents: bool) -> Result<Job, Error> {
        self.retry_failures(RetryJobRequest {
            name: name.to_string(),
            retry_dependents,
            ..RetryJobRequest::default()
        })
        .await
    }

    /// As [`Client::retry_job`], for the failures that the request's filter means, also of a job that has not ended; or only says what the
    /// job would be like.
    ///
    /// # Errors
    /// As [`Client::retry_job`], and `FAILED_PRECONDITION` with reason `NOTHING_TO_RETRY`.
    pub async fn retry_failures(&self, request: RetryJobRequest) -> Result<Job, Error> {
        self.call(Repeat::Harmful, request, |mut stub, request| async move {
            stub.retry_job(request).await
        })
        .await
    }

    /// Changes what is named of a job's spec: `spec.labels`, `spec.description`, `spec.priority`, `spec.max_in_flight`,
    /// `spec.failure_policy`, `spec.retention`.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_ARGUMENT` with field violations.
    pub async fn update_job(
        &self,
        name: &JobName,
        spec: JobSpec,
        paths: &[&str],
    ) -> Result<Job, Error> {
        let job = Job {
            name: name.to_string(),
            spec: Some(spec),
            ..Job::default()
        };
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let request = UpdateJobRequest {
            job: Some(job),
            update_mask: Some(FieldMask { paths }),
        };
        self.call(Repeat::Harmless, request, |mut stub, request| async move {
            stub.update_job(request).await
        })
        .await
    }

    /// Removes a job; one that has not ended is cancelled first. It is sent a second time only
    /// if the server cannot have seen the first: by then another job may have the name.
    ///
    /// # Errors
    /// `NOT_FOUND`, `UNAVAILABLE`.
    pub async fn delete_job(&self, name: &JobName) -> Result<(), Error> {
        let name = name.to_string();
        let request = DeleteJobRequest { name };
        self.call(Repeat::Harmful, request, |mut stub, request| async move {
            stub.delete_job(request).await
        })
        .await
    }

    /// Reads one page of the failures of a job's present run, oldest first.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_ARGUMENT` for a bad page token.
    pub async fn list_failures(
        &self,
        request: ListFailuresRequest,
    ) -> Result<ListFailuresResponse, Error> {
        self.call(Repeat::Harmless, request, |mut stub, request| async move {
            stub.list_failures(request).await
        })
        .await
    }

    /// Reads the failures of all pages, one page at a time as they are taken. Ends after the
    /// first error.
    pub fn failures(
        &self,
        name: &JobName,
        page_size: i32,
    ) -> impl Stream<Item = Result<Failure, Error>> + Send + 'static {
        self.failures_like(name, None, page_size)
    }

    /// As [`Client::failures`], of the failures that a filter means.
    pub fn failures_like(
        &self,
        name: &JobName,
        filter: Option<FailureFilter>,
        page_size: i32,
    ) -> impl Stream<Item = Result<Failure, Error>> + Send + 'static {
        let client = self.clone();
        let parent = name.to_string();
        pages(String::new(), move |page_token| {
            let client = client.clone();
            let request = ListFailuresRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                filter: filter.clone(),
            };
            async move {
                let page = client.list_failures(request).await?;
                Ok((page.failures, page.next_page_token))
            }
        })
    }

    /// Opens one `WatchJob` stream.
    pub(crate) async fn open_watch(
        &self,
        request: WatchJobRequest,
    ) -> Result<Streaming<WatchJobResponse>, Error> {
        let mut stub = self.stub.clone();
        self.open(stub.watch_job(request)).await
    }

    /// Opens one `WatchJobs` stream.
    pub(crate) async fn open_jobs_watch(
        &self,
        request: WatchJobsRequest,
    ) -> Result<Streaming<WatchJobsResponse>, Error> {
        let mut stub = self.stub.clone();
        self.open(stub.watch_jobs(request)).await
    }

    /// Opens one `WatchEvents` stream.
    pub(crate) async fn open_events_watch(
        &self,
        request: WatchEventsRequest,
    ) -> Result<Streaming<WatchEventsResponse>, Error> {
        let mut stub = self.stub.clone();
        self.open(stub.watch_events(request)).await
    }

    /// The deadline of a stream counts until its headers are here.
    async fn open<T>(
        &self,
        opening: impl Future<Output = Result<Response<Streaming<T>>, Status>>,
    ) -> Result<Streaming<T>, Error> {
        let limit = self.config.request_timeout;
        match timeout(limit, opening).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Error::from_status(status)),
            Err(_) => Err(Error::deadline(limit)),
        }
    }

    /// Sends one request until it is answered, the time is up, or trying again is of no use.
    pub(crate) async fn call<Req, Res, Send, Answer>(
        &self,
        repeat: Repeat,
        message: Req,
        send: Send,
    ) -> Result<Res, Error>
    where
        Req: Clone,
        Send: Fn(JobServiceClient<Channel>, tonic::Request<Req>) -> Answer,
        Answer: Future<Output = Result<Response<Res>, Status>>,
    {
        let limit = self.config.request_timeout;
        let deadline = Instant::now() + limit;
        let mut backoff = backoff(&self.config.retry);
        loop {
            let mut request = tonic::Request::new(message.clone());
            name_user(request.metadata_mut(), &self.config.user);
            // The server is told the deadline, so that it does not work for nobody.
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            let error = match timeout_at(deadline, send(self.stub.clone(), request)).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => Error::from_status(status),
                Err(_) => return Err(Error::deadline(limit)),
            };
            if error.code() == Code::DeadlineExceeded || !repeat.allows(&error) {
                return Err(error);
            }
            if backoff.delays() + 1 >= self.config.retry.max_attempts {
                return Err(error);
            }
            let delay = backoff.next_after(error.retry_delay());
            if Instant::now() + delay >= deadline {
                return Err(error);
            }
            tracing::debug!(error = %error, delay = ?delay, "call is tried again");
            sleep(delay).await;
        }
    }
}

/// Says who calls: as it is in ASCII, else as bytes. What the server does not take, it refuses with a sentence.
fn name_user(metadata: &mut MetadataMap, user: &str) {
    let plain = Some(user).filter(|user| user.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    match plain.and_then(|user| user.parse().ok()) {
        Some(_) if user.is_empty() => {}
        Some(user) => drop(metadata.insert("x-headway-user", user)),
        None => {
            let user = MetadataValue::from_bytes(user.as_bytes());
            metadata.insert_bin("x-headway-user-bin", user);
        }
    }
}

/// The items of all pages, where `fetch` reads the page of a token and says the next token.
pub(crate) fn pages<T, Fetch, Page>(
    first: String,
    fetch: Fetch,
) -> impl Stream<Item = Result<T, Error>> + Send + 'static
where
    T: Send + 'static,
    Fetch: Fn(String) -> Page + Send + 'static,
    Page: Future<Output = Result<(Vec<T>, String), Error>> + Send + 'static,
{
    let start = (Vec::new().into_iter(), Some(first), fetch);
    stream::try_unfold(start, |(mut items, mut token, fetch)| async move {
        loop {
            if let Some(item) = items.next() {
                return Ok(Some((item, (items, token, fetch))));
            }
            let Some(page_token) = token.take() else {
                return Ok(None);
            };
            let (page, next) = fetch(page_token).await?;
            // A page may be empty although more follow.
            items = page.into_iter();
            token = (!next.is_empty()).then_some(next);
        }
    })
}
