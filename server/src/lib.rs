//! The control plane's API: JobService over gRPC with health and reflection, and the watch hub; and
//! [`App`], a process with any of the roles.
//!
//! What does not live here: timers, sweepers and the splitting and tracking of jobs, which are
//! roles of their own.

mod accept;
mod app;
mod connection;
mod dashboard;
mod edge;
mod gate;
mod gateway;
mod grpc;
mod identity;
mod intake;
mod listen;
mod shares;
mod watch;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use headway_job_types::{Evaluator, FileTypes};
use headway_relay::Relay;
use headway_runtime::Readiness;
use headway_splitters::Registry;
use tonic::codegen::http;

pub use app::App;
pub use listen::serve;

/// The largest request, in bytes; the proto comments state the same number.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// What the server works with.
#[derive(Debug, Clone)]
pub struct ServerParts {
    /// The store, the broker, and what connects them.
    pub relay: Relay,
    /// What the health service follows. The caller runs [`Readiness::run`].
    pub readiness: Readiness,
    /// Splitters that check a batch definition when a job is created. For a splitter that is
    /// missing here, the first split finds a wrong definition.
    pub registry: Option<Registry>,
    /// The splitters that a batch may name. `None` for any, if batch workers may know more than
    /// this process.
    pub splitters: Option<BTreeSet<String>>,
    /// The hosts by which clients may call the server, besides `localhost` and IP addresses;
    /// `*.example.org` for all below.
    pub hosts: Vec<String>,
    /// The origins whose pages may call the services by grpc-web, such as
    /// `https://jobs.example.org`.
    pub web_origins: Vec<http::HeaderValue>,
    /// The job types of the server's folder.
    pub job_types: Arc<FileTypes>,
    /// The variables of the environment that job types made by the API may read.
    pub job_type_variables: BTreeSet<String>,
    /// Runs the programs of job types.
    pub evaluator: Evaluator,
    /// Bounds of this process.
    pub limits: Limits,
}

impl ServerParts {
    /// Parts that refuse no splitter, with the default limits.
    #[must_use]
    pub fn new(relay: Relay, readiness: Readiness) -> Self {
        Self {
            relay,
            readiness,
            registry: None,
            splitters: None,
            hosts: Vec::new(),
            web_origins: Vec::new(),
            job_types: Arc::default(),
            job_type_variables: BTreeSet::new(),
            // If the path is unknown, job types cannot be used, and their errors say so.
            evaluator: Evaluator::new(std::env::current_exe().unwrap_or_default()),
            limits: Limits::default(),
        }
    }

    /// Checks definitions with these splitters and refuses all others.
    #[must_use]
    pub fn with_splitters(mut self, registry: Registry) -> Self {
        self.splitters = Some(registry.names().into_iter().map(str::to_owned).collect());
        self.registry = Some(registry);
        self
    }
}

/// Bounds of one server process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long connections and unfinished publications may take at shutdown.
    pub drain: Duration,
    /// The most connections of clients. More wait until one is closed.
    pub connections: usize,
    /// The most running calls, open watches not counted. More are told to come back.
    pub calls: usize,
    /// How long a call may take until its answer begins.
    pub call_timeout: Duration,
    /// How many hundredths of the connections, calls and watches one client's address may take.
    pub client_share: u32,
    /// The most calls and streams of the standard services, health and reflection. More are told to
    /// come back.
    pub standard_calls: usize,
    /// How long a connection may take until its first byte.
    pub first_byte: Duration,
    /// How long a connection is kept without a running call. The headers of an HTTP/1 request must
    /// come within it, too.
    pub idle_connection: Duration,
    /// How long a request may send nothing before its message is complete.
    pub body_pause: Duration,
    /// The most open watches of jobs. More are refused.
    pub watches: usize,
    /// The most open watches of partitions and audit logs. More are refused.
    pub partition_watches: usize,
    /// The most accepted changes whose messages the broker does not have yet. Then the next change
    /// waits.
    pub publishing: usize,
    /// How often watched jobs are compared with the database, to repair lost events.
    pub repair_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            drain: Duration::from_secs(10),
            connections: 10_000,
            calls: 1024,
            call_timeout: Duration::from_secs(60),
            client_share: 50,
            standard_calls: 1024,
            first_byte: Duration::from_secs(10),
            idle_connection: Duration::from_secs(300),
            body_pause: Duration::from_secs(10),
            watches: 20_000,
            partition_watches: 2000,
            publishing: 1024,
            repair_interval: Duration::from_secs(1),
        }
    }
}
