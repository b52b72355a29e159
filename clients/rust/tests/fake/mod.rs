//! A server that answers from a script, and a proxy whose connections can be cut.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt, stream};
use headway::v1::{
    BatchChangeJobsRequest, BatchChangeJobsResponse, BatchCreateJobsRequest,
    BatchCreateJobsResponse, CancelJobRequest, CountJobsRequest, CountJobsResponse,
    CreateJobRequest, CreateJobTypeRequest, CreateScheduleRequest, DeleteJobRequest,
    DeleteJobTypeRequest, DeleteScheduleRequest, DropDeadLettersRequest, DropDeadLettersResponse,
    ExplainJobRequest, ExplainJobResponse, GetJobHistoryRequest, GetJobHistoryResponse,
    GetJobRequest, GetJobTypeRequest, GetPartitionRequest, GetPipeLimitsRequest,
    GetScheduleRequest, Job, JobState, JobType, ListBatchesRequest, ListBatchesResponse,
    ListDeadLettersRequest, ListDeadLettersResponse, ListEventsRequest, ListEventsResponse,
    ListFailuresRequest, ListFailuresResponse, ListJobTypesRequest, ListJobTypesResponse,
    ListJobsRequest, ListJobsResponse, ListPipeLimitsRequest, ListPipeLimitsResponse,
    ListPipesRequest, ListPipesResponse, ListSchedulesRequest, ListSchedulesResponse,
    ListSuspendedPartitionsRequest, ListSuspendedPartitionsResponse, Partition, PauseJobRequest,
    PauseScheduleRequest, PipeLimits, Reason, ResumeJobRequest, ResumePartitionRequest,
    ResumeScheduleRequest, RetryJobRequest, RunScheduleRequest, Schedule, SetPipeLimitsRequest,
    SuspendPartitionRequest, UpdateJobRequest, UpdateJobTypeRequest, UpdatePartitionRequest,
    UpdateScheduleRequest, WatchEventsRequest, WatchEventsResponse, WatchJobRequest,
    WatchJobResponse, WatchJobsRequest, WatchJobsResponse,
    job_service_server::{JobService, JobServiceServer},
};
use headway_client::{Client, ClientConfig, Error};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// What the server is to answer, and what it was asked.
#[derive(Default)]
pub struct Script {
    /// Answers of the calls that return one job, in order.
    pub jobs: VecDeque<Result<Job, Status>>,
    /// Answers of ListJobs, in order.
    pub pages: VecDeque<Result<ListJobsResponse, Status>>,
    /// The streams of WatchJob, in order.
    pub watches: VecDeque<Scene>,
    /// The streams of WatchJobs, in order.
    pub jobs_watches: VecDeque<Scene<WatchJobsResponse>>,
    /// The streams of WatchEvents, in order.
    pub events_watches: VecDeque<Scene<WatchEventsResponse>>,
    /// Answers of ListEvents, in order.
    pub event_pages: VecDeque<ListEventsResponse>,
    /// Answers of ListBatches, in order.
    pub batch_pages: VecDeque<ListBatchesResponse>,
    /// Answers of ListPipes, in order.
    pub pipe_pages: VecDeque<ListPipesResponse>,
    /// The answer of CountJobs.
    pub counts: CountJobsResponse,
    /// The answer of GetJobHistory.
    pub history: GetJobHistoryResponse,
    /// The calls, with what identifies their request, and when they came.
    pub calls: Vec<(&'static str, String, Instant)>,
}

/// One stream.
pub struct Scene<T = Job> {
    pub steps: Vec<Result<T, Status>>,
    /// Whether the stream stays open after its steps.
    pub open: bool,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn play<T, M: Send + 'static>(
    scene: Option<Scene<T>>,
    message: impl Fn(T) -> M + Send + 'static,
) -> Result<Response<Answers<M>>, Status>
where
    T: Send + 'static,
{
    let Some(scene) = scene else {
        return Err(Status::data_loss("the script is over"));
    };
    let messages = stream::iter(scene.steps).map(move |step| step.map(&message));
    Ok(Response::new(match scene.open {
        true => messages.chain(stream::pending()).boxed(),
        false => messages.boxed(),
    }))
}

#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<Script>>);

impl Fake {
    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The requests of one method, in order.
    pub fn requests(&self, method: &str) -> Vec<String> {
        let script = self.script();
        let calls = script.calls.iter().filter(|call| call.0 == method);
        calls.map(|call| call.1.clone()).collect()
    }

    /// Serves on a free port until the runtime ends.
    pub async fn serve(&self) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let service = JobServiceServer::new(self.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(address)
    }

    fn job(&self, method: &'static str, key: String) -> Result<Response<Job>, Status> {
        let mut script = self.script();
        script.calls.push((method, key, Instant::now()));
        let next = script.jobs.pop_front();
        next.unwrap_or_else(|| Err(Status::data_loss("the script is over")))
            .map(Response::new)
    }

    fn bulk(
        &self,
        method: &'static str,
        request: BatchChangeJobsRequest,
    ) -> Result<Response<BatchChangeJobsResponse>, Status> {
        let called = (method, request.filter, Instant::now());
        self.script().calls.push(called);
        let job = Job {
            name: "partitions/default/jobs/sweep".to_owned(),
            ..Job::default()
        };
        Ok(Response::new(BatchChangeJobsResponse {
            job: (!request.validate_only).then_some(job),
            matching_jobs: 1234,
        }))
    }

    fn partition(
        &self,
        method: &'static str,
        name: String,
        suspended: bool,
    ) -> Result<Response<Partition>, Status> {
        let called = (method, name.clone(), Instant::now());
        self.script().calls.push(called);
        Ok(Response::new(Partition {
            name,
            suspended,
            suspended_by: if suspended {
                "ada".to_owned()
            } else {
                String::new()
            },
            ..Partition::default()
        }))
    }
}

/// A client with short delays.
pub async fn client(address: SocketAddr) -> Result<Client, Error> {
    Client::connect(quick(address)).await
}

/// A configuration with short delays.
pub fn quick(address: SocketAddr) -> ClientConfig {
    let mut config = ClientConfig::new(format!("http://{address}"));
    config.retry.initial_backoff = Duration::from_millis(2);
    config.retry.max_backoff = Duration::from_millis(10);
    config
}

/// A state of the job `partitions/p/jobs/j`.
pub fn state(uid: &str, revision: i64, state: JobState) -> Job {
    Job {
        name: "partitions/p/jobs/j".to_owned(),
        uid: uid.to_owned(),
        revision,
        state: state.into(),
        ..Job::default()
    }
}

/// Hands connections on to a server, until they are cut.
pub struct Proxy {
    pub address: SocketAddr,
    cut: watch::Sender<()>,
}

impl Proxy {
    pub async fn start(server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (cut, mut cuts) = watch::channel(());
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((mut inner, _)) = accepted else { return };
                        connections.spawn(async move {
                            let mut outer = TcpStream::connect(server).await?;
                            tokio::io::copy_bidirectional(&mut inner, &mut outer).await
                        });
                    }
                    changed = cuts.changed() => match changed {
                        Ok(()) => connections.abort_all(),
                        Err(_) => return,
                    },
                }
            }
        });
        Ok(Self { address, cut })
    }

    /// Breaks every connection; new ones are accepted.
    pub fn cut(&self) {
        self.cut.send_replace(());
    }
}

#[tonic::async_trait]
impl JobService for Fake {
    async fn create_job(
        &self,
        request: Request<CreateJobRequest>,
    ) -> Result<Response<Job>, Status> {
        self.job("create", request.into_inner().request_id)
    }

    async fn get_job(&self, request: Request<GetJobRequest>) -> Result<Response<Job>, Status> {
        self.job("get", request.into_inner().name)
    }

    async fn list_jobs(
        &self,
        request: Request<ListJobsRequest>,
    ) -> Result<Response<ListJobsResponse>, Status> {
        let mut script = self.script();
        let token = request.into_inner().page_token;
        script.calls.push(("list", token, Instant::now()));
        let page = script.pages.pop_front();
        page.unwrap_or_else(|| Ok(ListJobsResponse::default()))
            .map(Response::new)
    }

    type WatchJobStream = Answers<WatchJobResponse>;

    async fn watch_job(
        &self,
        request: Request<WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        let mut script = self.script();
        let name = request.into_inner().name;
        script.calls.push(("watch", name, Instant::now()));
        play(script.watches.pop_front(), |job| WatchJobResponse {
            job: Some(job),
            ..WatchJobResponse::default()
        })
    }

    type WatchJobsStream = Answers<WatchJobsResponse>;

    async fn watch_jobs(
        &self,
        request: Request<WatchJobsRequest>,
    ) -> Result<Response<Self::WatchJobsStream>, Status> {
        let mut script = self.script();
        let token = request.into_inner().resume_token;
        script.calls.push(("watch jobs", token, Instant::now()));
        play(script.jobs_watches.pop_front(), |message| message)
    }

    type WatchEventsStream = Answers<WatchEventsResponse>;

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let mut script = self.script();
        let after = request.into_inner().after;
        script.calls.push(("watch events", after, Instant::now()));
        play(script.events_watches.pop_front(), |message| message)
    }

    async fn list_events(
        &self,
        request: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        let mut script = self.script();
        let after = request.into_inner().after;
        script.calls.push(("events", after, Instant::now()));
        let page = script.event_pages.pop_front();
        Ok(Response::new(page.unwrap_or_default()))
    }

    async fn list_batches(
        &self,
        request: Request<ListBatchesRequest>,
    ) -> Result<Response<ListBatchesResponse>, Status> {
        let mut script = self.script();
        let parent = request.into_inner().parent;
        script.calls.push(("batches", parent, Instant::now()));
        let page = script.batch_pages.pop_front();
        Ok(Response::new(page.unwrap_or_default()))
    }

    async fn batch_create_jobs(
        &self,
        _request: Request<BatchCreateJobsRequest>,
    ) -> Result<Response<BatchCreateJobsResponse>, Status> {
        Ok(Response::new(BatchCreateJobsResponse::default()))
    }

    async fn batch_pause_jobs(
        &self,
        request: Request<BatchChangeJobsRequest>,
    ) -> Result<Response<BatchChangeJobsResponse>, Status> {
        self.bulk("pause many", request.into_inner())
    }

    async fn batch_resume_jobs(
        &self,
        request: Request<BatchChangeJobsRequest>,
    ) -> Result<Response<BatchChangeJobsResponse>, Status> {
        self.bulk("resume many", request.into_inner())
    }

    async fn batch_cancel_jobs(
        &self,
        request: Request<BatchChangeJobsRequest>,
    ) -> Result<Response<BatchChangeJobsResponse>, Status> {
        self.bulk("cancel many", request.into_inner())
    }

    async fn batch_retry_jobs(
        &self,
        request: Request<BatchChangeJobsRequest>,
    ) -> Result<Response<BatchChangeJobsResponse>, Status> {
        self.bulk("retry many", request.into_inner())
    }

    async fn batch_delete_jobs(
        &self,
        request: Request<BatchChangeJobsRequest>,
    ) -> Result<Response<BatchChangeJobsResponse>, Status> {
        self.bulk("delete many", request.into_inner())
    }

    async fn explain_job(
        &self,
        request: Request<ExplainJobRequest>,
    ) -> Result<Response<ExplainJobResponse>, Status> {
        let name = request.into_inner().name;
        let reason = Reason {
            message: "it starts at its time".to_owned(),
            ..Reason::default()
        };
        Ok(Response::new(ExplainJobResponse {
            name,
            reasons: vec![reason],
            ..ExplainJobResponse::default()
        }))
    }

    async fn create_schedule(
        &self,
        request: Request<CreateScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let request = request.into_inner();
        let name = format!("{}/schedules/{}", request.parent, request.schedule_id);
        Ok(Response::new(Schedule {
            name,
            ..request.schedule.unwrap_or_default()
        }))
    }

    async fn update_schedule(
        &self,
        request: Request<UpdateScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let schedule = request.into_inner().schedule;
        Ok(Response::new(schedule.unwrap_or_default()))
    }

    async fn get_schedule(
        &self,
        request: Request<GetScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let name = request.into_inner().name;
        Ok(Response::new(Schedule {
            name,
            ..Schedule::default()
        }))
    }

    async fn list_schedules(
        &self,
        _request: Request<ListSchedulesRequest>,
    ) -> Result<Response<ListSchedulesResponse>, Status> {
        Ok(Response::new(ListSchedulesResponse::default()))
    }

    async fn pause_schedule(
        &self,
        request: Request<PauseScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let name = request.into_inner().name;
        Ok(Response::new(Schedule {
            name,
            paused: true,
            ..Schedule::default()
        }))
    }

    async fn resume_schedule(
        &self,
        request: Request<ResumeScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let name = request.into_inner().name;
        Ok(Response::new(Schedule {
            name,
            ..Schedule::default()
        }))
    }

    async fn run_schedule(
        &self,
        request: Request<RunScheduleRequest>,
    ) -> Result<Response<Job>, Status> {
        self.job("run schedule", request.into_inner().name)
    }

    async fn delete_schedule(
        &self,
        _request: Request<DeleteScheduleRequest>,
    ) -> Result<Response<()>, Status> {
        Ok(Response::new(()))
    }

    async fn get_partition(
        &self,
        request: Request<GetPartitionRequest>,
    ) -> Result<Response<Partition>, Status> {
        self.partition("partition", request.into_inner().name, false)
    }

    async fn update_partition(
        &self,
        request: Request<UpdatePartitionRequest>,
    ) -> Result<Response<Partition>, Status> {
        let partition = request.into_inner().partition.unwrap_or_default();
        Ok(Response::new(partition))
    }

    async fn suspend_partition(
        &self,
        request: Request<SuspendPartitionRequest>,
    ) -> Result<Response<Partition>, Status> {
        self.partition("suspend", request.into_inner().name, true)
    }

    async fn resume_partition(
        &self,
        request: Request<ResumePartitionRequest>,
    ) -> Result<Response<Partition>, Status> {
        self.partition("resume", request.into_inner().name, false)
    }

    async fn list_dead_letters(
        &self,
        _request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        Ok(Response::new(ListDeadLettersResponse::default()))
    }

    async fn drop_dead_letters(
        &self,
        _request: Request<DropDeadLettersRequest>,
    ) -> Result<Response<DropDeadLettersResponse>, Status> {
        Ok(Response::new(DropDeadLettersResponse::default()))
    }

    async fn create_job_type(
        &self,
        request: Request<CreateJobTypeRequest>,
    ) -> Result<Response<JobType>, Status> {
        Ok(Response::new(
            request.into_inner().job_type.unwrap_or_default(),
        ))
    }

    async fn update_job_type(
        &self,
        request: Request<UpdateJobTypeRequest>,
    ) -> Result<Response<JobType>, Status> {
        Ok(Response::new(
            request.into_inner().job_type.unwrap_or_default(),
        ))
    }

    async fn get_job_type(
        &self,
        request: Request<GetJobTypeRequest>,
    ) -> Result<Response<JobType>, Status> {
        let name = request.into_inner().name;
        Ok(Response::new(JobType {
            name,
            ..JobType::default()
        }))
    }

    async fn list_job_types(
        &self,
        _request: Request<ListJobTypesRequest>,
    ) -> Result<Response<ListJobTypesResponse>, Status> {
        Ok(Response::new(ListJobTypesResponse::default()))
    }

    async fn delete_job_type(
        &self,
        _request: Request<DeleteJobTypeRequest>,
    ) -> Result<Response<()>, Status> {
        Ok(Response::new(()))
    }

    async fn update_job(
        &self,
        request: Request<UpdateJobRequest>,
    ) -> Result<Response<Job>, Status> {
        let job = request.into_inner().job.unwrap_or_default();
        self.job("update", job.name)
    }

    async fn get_pipe_limits(
        &self,
        request: Request<GetPipeLimitsRequest>,
    ) -> Result<Response<PipeLimits>, Status> {
        Ok(Response::new(PipeLimits {
            pipe: request.into_inner().pipe,
            ..PipeLimits::default()
        }))
    }

    async fn set_pipe_limits(
        &self,
        request: Request<SetPipeLimitsRequest>,
    ) -> Result<Response<PipeLimits>, Status> {
        let limits = request.into_inner().limits.unwrap_or_default();
        Ok(Response::new(limits))
    }

    async fn list_pipe_limits(
        &self,
        _request: Request<ListPipeLimitsRequest>,
    ) -> Result<Response<ListPipeLimitsResponse>, Status> {
        Ok(Response::new(ListPipeLimitsResponse::default()))
    }

    async fn list_suspended_partitions(
        &self,
        _request: Request<ListSuspendedPartitionsRequest>,
    ) -> Result<Response<ListSuspendedPartitionsResponse>, Status> {
        Ok(Response::new(ListSuspendedPartitionsResponse::default()))
    }

    async fn list_pipes(
        &self,
        request: Request<ListPipesRequest>,
    ) -> Result<Response<ListPipesResponse>, Status> {
        let mut script = self.script();
        let token = request.into_inner().page_token;
        script.calls.push(("pipes", token, Instant::now()));
        let page = script.pipe_pages.pop_front();
        Ok(Response::new(page.unwrap_or_default()))
    }

    async fn count_jobs(
        &self,
        _: Request<CountJobsRequest>,
    ) -> Result<Response<CountJobsResponse>, Status> {
        Ok(Response::new(self.script().counts.clone()))
    }

    async fn get_job_history(
        &self,
        _: Request<GetJobHistoryRequest>,
    ) -> Result<Response<GetJobHistoryResponse>, Status> {
        Ok(Response::new(self.script().history.clone()))
    }

    async fn pause_job(&self, request: Request<PauseJobRequest>) -> Result<Response<Job>, Status> {
        self.job("pause", request.into_inner().name)
    }

    async fn resume_job(
        &self,
        request: Request<ResumeJobRequest>,
    ) -> Result<Response<Job>, Status> {
        self.job("resume", request.into_inner().name)
    }

    async fn cancel_job(
        &self,
        request: Request<CancelJobRequest>,
    ) -> Result<Response<Job>, Status> {
        self.job("cancel", request.into_inner().name)
    }

    async fn retry_job(&self, request: Request<RetryJobRequest>) -> Result<Response<Job>, Status> {
        self.job("retry", request.into_inner().name)
    }

    async fn delete_job(&self, request: Request<DeleteJobRequest>) -> Result<Response<()>, Status> {
        self.job("delete", request.into_inner().name)?;
        Ok(Response::new(()))
    }

    async fn list_failures(
        &self,
        _: Request<ListFailuresRequest>,
    ) -> Result<Response<ListFailuresResponse>, Status> {
        Ok(Response::new(ListFailuresResponse::default()))
    }
}
