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
    CancelJobRequest, CreateJobRequest, DeleteJobRequest, GetJobRequest, Job, JobState,
    ListFailuresRequest, ListFailuresResponse, ListJobsRequest, ListJobsResponse, PauseJobRequest,
    ResumeJobRequest, RetryJobRequest, WatchJobRequest, WatchJobResponse,
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
    /// The calls, with what identifies their request, and when they came.
    pub calls: Vec<(&'static str, String, Instant)>,
}

/// One WatchJob stream.
pub struct Scene {
    pub steps: Vec<Result<Job, Status>>,
    /// Whether the stream stays open after its steps.
    pub open: bool,
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

    type WatchJobStream = Pin<Box<dyn Stream<Item = Result<WatchJobResponse, Status>> + Send>>;

    async fn watch_job(
        &self,
        request: Request<WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        let mut script = self.script();
        let name = request.into_inner().name;
        script.calls.push(("watch", name, Instant::now()));
        let Some(scene) = script.watches.pop_front() else {
            return Err(Status::data_loss("the script is over"));
        };
        let steps = scene.steps.into_iter();
        let states = stream::iter(steps.map(|step| {
            step.map(|job| WatchJobResponse {
                job: Some(job),
                ..WatchJobResponse::default()
            })
        }));
        Ok(Response::new(match scene.open {
            true => states.chain(stream::pending()).boxed(),
            false => states.boxed(),
        }))
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
