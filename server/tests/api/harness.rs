//! A running server, a client of it, and what tests do in the place of workers.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use headway::v1::{
    self, event_service_client::EventServiceClient, job_service_client::JobServiceClient,
    job_type_service_client::JobTypeServiceClient,
    partition_service_client::PartitionServiceClient, pipe_service_client::PipeServiceClient,
    schedule_service_client::ScheduleServiceClient,
};
use headway_broker::{Broker, InProcessBroker};
use headway_domain::{
    JobUid,
    batches::{Child, Split},
    reports::{Failed, ItemEvent, ItemReport, PageReport},
};
use headway_relay::Relay;
use headway_runtime::{Dependency, Readiness, tasks};
use headway_server::{ServerParts, serve};
use headway_splitters::Registry;
use headway_store::{Committed, SplitPlan, Store, StoreConfig, StoreUrl};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, transport::Channel};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The partition of most tests.
pub(crate) const PARENT: &str = "partitions/acme";

/// A running server.
pub(crate) struct Harness {
    pub client: JobServiceClient<Channel>,
    pub channel: Channel,
    pub address: SocketAddr,
    pub relay: Relay,
    pub database: Dependency,
    pub shutdown: CancellationToken,
    pub server: JoinHandle<anyhow::Result<()>>,
    _folder: tempfile::TempDir,
}

/// A client of each service.
#[derive(Clone)]
pub(crate) struct Clients<S> {
    pub jobs: JobServiceClient<S>,
    pub schedules: ScheduleServiceClient<S>,
    pub job_types: JobTypeServiceClient<S>,
    pub partitions: PartitionServiceClient<S>,
    pub pipes: PipeServiceClient<S>,
    pub events: EventServiceClient<S>,
}

/// The clients over this service, such as a channel. A macro: the bounds of a function would be
/// long.
macro_rules! clients {
    ($service:expr) => {{
        let service = $service;
        $crate::harness::Clients {
            jobs: headway::v1::job_service_client::JobServiceClient::new(service.clone()),
            schedules: headway::v1::schedule_service_client::ScheduleServiceClient::new(
                service.clone(),
            ),
            job_types: headway::v1::job_type_service_client::JobTypeServiceClient::new(
                service.clone(),
            ),
            partitions: headway::v1::partition_service_client::PartitionServiceClient::new(
                service.clone(),
            ),
            pipes: headway::v1::pipe_service_client::PipeServiceClient::new(service.clone()),
            events: headway::v1::event_service_client::EventServiceClient::new(service),
        }
    }};
}
impl Harness {
    pub(crate) async fn start() -> Self {
        Self::start_with(|parts| parts).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(ServerParts) -> ServerParts) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("headway.db").display());
        let store = Store::connect(&StoreConfig::new(StoreUrl::new(url)))
            .await
            .unwrap();
        let broker: Arc<dyn Broker> = Arc::new(InProcessBroker::new());
        let shutdown = CancellationToken::new();
        let (relay, deleter) = Relay::new(store, broker, shutdown.clone());
        tasks::spawn(deleter);
        let readiness = Readiness::new(Duration::ZERO);
        let database = readiness.dependency("database");
        tasks::spawn(readiness.clone().run(shutdown.clone()));
        let mut parts =
            ServerParts::new(relay.clone(), readiness).with_splitters(Registry::with_builtins());
        // All clients of a test have one address.
        parts.limits.client_share = 100;
        let parts = change(parts);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tasks::spawn(serve(listener, parts, shutdown.clone()));
        let channel = Channel::from_shared(format!("http://{address}"))
            .unwrap()
            .connect()
            .await
            .unwrap();
        Self {
            client: JobServiceClient::new(channel.clone()),
            channel,
            address,
            relay,
            database,
            shutdown,
            server,
            _folder: folder,
        }
    }

    /// A client over a connection of its own.
    pub(crate) async fn connect(&self) -> JobServiceClient<Channel> {
        let channel = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        JobServiceClient::new(channel.connect().await.unwrap())
    }

    /// The same, which connects with its first call.
    pub(crate) fn connect_lazily(&self) -> JobServiceClient<Channel> {
        let channel = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        JobServiceClient::new(channel.connect_lazy())
    }

    /// A client of another server on the same database and broker, which stops with this one.
    pub(crate) async fn another_server(&self) -> JobServiceClient<Channel> {
        let readiness = Readiness::new(Duration::ZERO);
        let parts = ServerParts::new(self.relay.clone(), readiness);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tasks::spawn(serve(listener, parts, self.shutdown.clone()));
        let channel = Channel::from_shared(format!("http://{address}")).unwrap();
        JobServiceClient::new(channel.connect().await.unwrap())
    }

    /// A client of each service, over the connection of [`Self::client`].
    pub(crate) fn clients(&self) -> Clients<Channel> {
        clients!(self.channel.clone())
    }

    pub(crate) fn store(&self) -> &Store {
        self.relay.store()
    }

    /// Creates a job of one task.
    pub(crate) async fn create(&self, id: &str) -> v1::Job {
        self.create_spec(id, task()).await
    }

    pub(crate) async fn create_spec(&self, id: &str, spec: v1::JobSpec) -> v1::Job {
        let created = self.client.clone().create_job(request(id, spec)).await;
        created.unwrap().into_inner()
    }

    pub(crate) async fn get(&self, id: &str) -> v1::Job {
        let request = v1::GetJobRequest { name: name(id) };
        let job = self.client.clone().get_job(request).await;
        job.unwrap().into_inner()
    }

    /// Applies what a worker reports, as tracking does; the caller publishes it or lets the event
    /// be lost.
    pub(crate) async fn report(&self, job: &v1::Job, done: Vec<u32>, failed: &[u32]) -> Committed {
        let broken = |index| Failed::lasting("BROKEN", format!("item {index} is broken"));
        let failed = failed
            .iter()
            .map(|index| (*index, ItemEvent::Failed(broken(index))));
        self.apply(job, done, failed.collect()).await
    }

    /// The same for anything that workers report of items.
    pub(crate) async fn report_items(
        &self,
        job: &v1::Job,
        events: &[(u32, ItemEvent)],
    ) -> Committed {
        self.apply(job, Vec::new(), events.to_vec()).await
    }

    async fn apply(
        &self,
        job: &v1::Job,
        done: Vec<u32>,
        events: Vec<(u32, ItemEvent)>,
    ) -> Committed {
        let items = events.into_iter().map(|(index, event)| ItemReport {
            index,
            attempt: 0,
            stage: 0,
            event,
        });
        let report = PageReport {
            job: uid(job),
            page: 1,
            run: u32::try_from(job.run).unwrap(),
            done,
            items: items.collect(),
            session: Uuid::nil(),
            worker: "tester".to_owned(),
        };
        let tracked = self.store().apply_reports(&[report]).await.unwrap();
        assert_eq!(tracked.applied.stale, 0, "the report does not fit");
        tracked.committed
    }

    /// Splits the root of a batch into this many items, as a batch worker does.
    pub(crate) async fn split(&self, job: &v1::Job, items: usize) {
        let plan = self.store().plan_split(uid(job), 1, 0).await.unwrap();
        let SplitPlan::Split(source) = plan else {
            panic!("{plan:?}")
        };
        let split = Split {
            children: vec![Child::Item; items],
            next: None,
            total: Some(items as u64),
            limit: source.limit,
            hash: 0,
            stored: None,
        };
        let result = self.store().record_split(&source, 0, split).await.unwrap();
        self.relay.publish(result.committed).await;
    }

    /// Ends a job of one task and tells everybody.
    pub(crate) async fn finish(&self, job: &v1::Job) {
        let committed = self.report(job, vec![0], &[]).await;
        self.relay.publish(committed).await;
    }

    /// Stops the server; it must end well and soon.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.server).await;
        ended.unwrap().unwrap().unwrap();
    }
}

pub(crate) fn uid(job: &v1::Job) -> JobUid {
    JobUid(job.uid.parse().unwrap())
}

pub(crate) fn name(id: &str) -> String {
    format!("{PARENT}/jobs/{id}")
}

pub(crate) fn request(id: &str, spec: v1::JobSpec) -> v1::CreateJobRequest {
    v1::CreateJobRequest {
        parent: PARENT.to_owned(),
        job_id: id.to_owned(),
        spec: Some(spec),
        ..Default::default()
    }
}

/// An update mask of these paths.
pub(crate) fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    Some(prost_types::FieldMask { paths })
}

/// A job of one task.
pub(crate) fn task() -> v1::JobSpec {
    v1::JobSpec {
        work: Some(v1::job_spec::Work::Task(v1::TaskSpec {
            pipe: "documents".into(),
            r#type: "export".into(),
            payload: b"{\"file\":1}".to_vec(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// A job of a range of integers.
pub(crate) fn batch() -> v1::JobSpec {
    let number = |number| prost_types::Value {
        kind: Some(prost_types::value::Kind::NumberValue(number)),
    };
    let fields = [
        ("from".to_owned(), number(0.0)),
        ("to".to_owned(), number(5.0)),
    ];
    v1::JobSpec {
        work: Some(v1::job_spec::Work::Batch(v1::BatchSpec {
            splitter: "range".into(),
            definition: Some(v1::batch_spec::Definition::Json(prost_types::Value {
                kind: Some(prost_types::value::Kind::StructValue(prost_types::Struct {
                    fields: fields.into(),
                })),
            })),
            parameters_form: None,
            item: Some(v1::ItemTemplate {
                pipe: "documents".into(),
                ..Default::default()
            }),
        })),
        ..Default::default()
    }
}

/// The error's code and details, which must say why in a way that programs read.
pub(crate) fn refused<T: std::fmt::Debug>(
    result: Result<T, Status>,
    code: Code,
    reason: &str,
) -> (Status, ErrorDetails) {
    let status = result.unwrap_err();
    assert_eq!(status.code(), code, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(info.reason, reason, "{status:?}");
    assert_eq!(info.domain, "headway.dev");
    assert!(!status.message().is_empty());
    (status, details)
}

/// The fields that a `BadRequest` names.
pub(crate) fn fields(details: &ErrorDetails) -> Vec<&str> {
    let violations = &details.bad_request().unwrap().field_violations;
    violations.iter().map(|v| v.field.as_str()).collect()
}
