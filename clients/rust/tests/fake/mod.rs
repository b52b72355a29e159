//! A server that answers from a script, and a proxy whose connections can be cut.

mod service;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt, stream};
use headway::v1::{
    ChangeJobsRequest, ChangeJobsResponse, CountJobsResponse, Job, JobAction, JobHistory, JobState,
    ListBatchesResponse, ListEventsResponse, ListJobsResponse, ListPipesResponse, Partition,
    WatchEventsResponse, WatchJobsResponse, event_service_server::EventServiceServer,
    job_service_server::JobServiceServer, job_type_service_server::JobTypeServiceServer,
    partition_service_server::PartitionServiceServer, pipe_service_server::PipeServiceServer,
    schedule_service_server::ScheduleServiceServer,
};
use headway_client::{Client, ClientConfig, Error};
use headway_runtime::tasks;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Response, Status, transport::Server};
use tonic_types::{ErrorDetails, StatusExt};

/// What the server is to answer, and what it was asked.
#[derive(Default)]
pub(crate) struct Script {
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
    pub history: JobHistory,
    /// The calls, with what identifies their request, and when they came.
    pub calls: Vec<(&'static str, String, Instant)>,
}

/// One stream.
pub(crate) struct Scene<T = Job> {
    pub steps: Vec<Result<T, Status>>,
    /// Whether the stream stays open after its steps.
    pub open: bool,
}

/// An error of the server, without details.
#[expect(
    clippy::disallowed_methods,
    reason = "it stands in for the server, whose errors are statuses"
)]
pub(crate) fn refusal(code: Code, message: &str) -> Status {
    Status::new(code, message)
}

/// An error of the server with details.
#[expect(
    clippy::disallowed_methods,
    reason = "it stands in for the server, whose errors are statuses"
)]
pub(crate) fn refusal_with(code: Code, message: &str, details: ErrorDetails) -> Status {
    Status::with_error_details(code, message, details)
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
        return Err(refusal(Code::DataLoss, "the script is over"));
    };
    let messages = stream::iter(scene.steps).map(move |step| step.map(&message));
    Ok(Response::new(match scene.open {
        true => messages.chain(stream::pending()).boxed(),
        false => messages.boxed(),
    }))
}

#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<Script>>);

impl Fake {
    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The requests of one method, in order.
    pub(crate) fn requests(&self, method: &str) -> Vec<String> {
        let script = self.script();
        let calls = script.calls.iter().filter(|call| call.0 == method);
        calls.map(|call| call.1.clone()).collect()
    }

    /// Serves on a free port until the runtime ends.
    pub(crate) async fn serve(&self) -> std::io::Result<SocketAddr> {
        self.serve_by(Server::builder()).await
    }

    /// The same by a server of this kind, such as one with a certificate.
    pub(crate) async fn serve_by(&self, mut server: Server) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = server
            .add_service(JobServiceServer::new(self.clone()))
            .add_service(ScheduleServiceServer::new(self.clone()))
            .add_service(JobTypeServiceServer::new(self.clone()))
            .add_service(PartitionServiceServer::new(self.clone()))
            .add_service(PipeServiceServer::new(self.clone()))
            .add_service(EventServiceServer::new(self.clone()));
        tasks::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Ok(address)
    }

    fn job(&self, method: &'static str, key: String) -> Result<Response<Job>, Status> {
        let mut script = self.script();
        script.calls.push((method, key, Instant::now()));
        let next = script.jobs.pop_front();
        next.unwrap_or_else(|| Err(refusal(Code::DataLoss, "the script is over")))
            .map(Response::new)
    }

    fn change(&self, request: ChangeJobsRequest) -> Result<Response<ChangeJobsResponse>, Status> {
        let method = match request.action() {
            JobAction::Unspecified => return Err(refusal(Code::InvalidArgument, "no action")),
            JobAction::Pause => "pause many",
            JobAction::Resume => "resume many",
            JobAction::Cancel => "cancel many",
            JobAction::Retry => "retry many",
            JobAction::Delete => "delete many",
        };
        let called = (method, request.filter, Instant::now());
        self.script().calls.push(called);
        let job = Job {
            name: "partitions/default/jobs/sweep".to_owned(),
            ..Job::default()
        };
        Ok(Response::new(ChangeJobsResponse {
            job: (!request.validate_only).then_some(job),
            matching_job_count: 1234,
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
pub(crate) async fn client(address: SocketAddr) -> Result<Client, Error> {
    Client::connect(quick(address)).await
}

/// A configuration with short delays.
pub(crate) fn quick(address: SocketAddr) -> ClientConfig {
    let mut config = ClientConfig::new(format!("http://{address}"));
    config.retry.initial_backoff = Duration::from_millis(2);
    config.retry.max_backoff = Duration::from_millis(10);
    config
}

/// A state of the job `partitions/p/jobs/j`.
pub(crate) fn state(uid: &str, revision: i64, state: JobState) -> Job {
    Job {
        name: "partitions/p/jobs/j".to_owned(),
        uid: uid.to_owned(),
        revision,
        state: state.into(),
        ..Job::default()
    }
}

/// Hands connections on to a server, until they are cut.
pub(crate) struct Proxy {
    pub address: SocketAddr,
    cut: watch::Sender<()>,
}

impl Proxy {
    pub(crate) async fn start(server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (cut, mut cuts) = watch::channel(());
        tasks::spawn(async move {
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
    pub(crate) fn cut(&self) {
        self.cut.send_replace(());
    }
}
