//! Headway's settings: what there is, the defaults, and what is refused. How they are loaded is in
//! [`crate::layers`].

mod bounds;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::bounds::{
    check, has_scheme, in_range, is_host, is_origin, is_plain_absolute, is_prefix, is_schema, lasts,
};
use crate::duration;
use crate::layers::{ConfigError, Layers, Loaded, Problem, Settings};
use crate::readiness::DEFAULT_DAMPING;
use crate::secret::SecretUrl;
use crate::telemetry::{LogFormat, parse_filter};

/// A delivery may stay unacknowledged for 30 minutes by RabbitMQ's default (`consumer_timeout`);
/// whatever holds one must be done well before.
const MAX_HOLD: Duration = Duration::from_secs(20 * 60);

/// The longest that the audit log can be kept for.
const MAX_RETENTION: Duration = Duration::from_secs(3650 * 24 * 3600);

/// A part of the control plane that a process can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Serves clients: the API, watches and the dashboard.
    Server,
    /// Applies reports, advances jobs, fires timers and sweeps.
    Tracking,
    /// Splits batches into pages.
    Batch,
}

impl Role {
    /// Every role, as one embedded process runs them.
    pub const ALL: [Self; 3] = [Self::Server, Self::Tracking, Self::Batch];

    /// The name in the configuration and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Tracking => "tracking",
            Self::Batch => "batch",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let role = Self::ALL.into_iter().find(|role| role.name() == name);
        role.ok_or_else(|| {
            format!("`{name}` is not a role; the roles are server, tracking and batch")
        })
    }
}

/// The settings of a deployment. Every process reads the same ones and uses what its roles need.
///
/// `Display` writes them as YAML with secrets hidden. Lengths of time are written like `5s` or as
/// a number of seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the server listens for gRPC and grpc-web. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The hosts by which clients may call the server, such as `jobs.example.org`, or
    /// `*.example.org` for all names below; `localhost` and IP addresses always work.
    pub hosts: Vec<String>,
    /// The origins whose pages may call the server by grpc-web, such as `https://jobs.example.org`;
    /// its own always may.
    pub web_origins: Vec<String>,
    /// Where the embedded database is kept; a relative path is below the working directory.
    pub data_dir: PathBuf,
    /// The database (`postgres://` or `sqlite:`); none means the file [`Config::sqlite_path`].
    pub database_url: Option<SecretUrl>,
    /// The PostgreSQL schema that holds the tables: letters, digits and `_`. Not used with SQLite.
    pub database_schema: String,
    /// The message broker (`amqp://` or `amqps://`); none means pipes inside this process.
    pub broker_url: Option<SecretUrl>,
    /// What every queue's name begins with, so that deployments can share a broker: 1 to 64
    /// characters of `a-z`, `0-9` and `-`.
    pub prefix: String,
    /// What this process runs; at least one role, and all of them while pipes are inside the
    /// process.
    pub roles: BTreeSet<Role>,
    /// The most connections to the database, 1 to 1,000 a process; fewer than 6 count as 6. A third
    /// of them are for what clients list.
    pub database_connections: u32,
    /// How long the database may take for one statement: 1 s to 1 h.
    #[serde(with = "duration")]
    pub database_statement_timeout: Duration,
    /// The most pipes of all partitions together, 1 to 100,000: each is a queue of the broker.
    pub max_pipes: u32,
    /// After this time a pipe that no job uses, and that is empty and not consumed, is removed: 1 s
    /// to 365 days.
    #[serde(with = "duration")]
    pub pipe_retention: Duration,
    /// A delivery that is not finished after this time becomes a lease: 1 s to 20 min.
    #[serde(with = "duration")]
    pub lease_after: Duration,
    /// How long one page may take to split: 1 s to 20 min.
    #[serde(with = "duration")]
    pub split_timeout: Duration,
    /// How often sweepers look for overdue timers, leases, messages and idle jobs: 10 ms to 1 h.
    #[serde(with = "duration")]
    pub sweep_interval: Duration,
    /// After this time, any process may publish a message of the outbox again: 1 s to 1 h.
    #[serde(with = "duration")]
    pub outbox_after: Duration,
    /// How long messages may be on their way to their pipe. Items count as lost when nothing was
    /// heard of them for `lease_after` and this time after they must have come out of it:
    /// 1 s to 1 h.
    #[serde(with = "duration")]
    pub repair_margin: Duration,
    /// How long events of the audit log are kept: 1 s to 87,600 h, which are ten years.
    #[serde(with = "duration")]
    pub event_retention: Duration,
    /// How often the broker is asked whether it still has its data: 100 ms to 1 h.
    #[serde(with = "duration")]
    pub epoch_interval: Duration,
    /// How many pages of one job may be in splitting at once, 1 to 1,024.
    pub max_splits_per_job: u32,
    /// How many watches a server has open at most, 1 to 1,000,000; more are refused.
    pub max_watches: u32,
    /// The folders in and below which the splitters `files` and `lines` may read; none means that
    /// they refuse every job.
    pub file_roots: Vec<PathBuf>,
    /// How many hundredths of a server's connections, calls and watches one client's address may
    /// take, 1 to 100.
    pub client_share: u32,
    /// The folder whose YAML files are job types, read once; none means that there are none but
    /// those of the API.
    pub job_types_dir: Option<PathBuf>,
    /// The variables of the environment that job types made by the API may read, as in
    /// `HEADWAY_JOB_TYPE_EXPORT_BUCKET`; those of files read theirs without being named here.
    pub job_type_variables: Vec<String>,
    /// The executable that runs the programs of job types; none means the one that runs. For
    /// servers inside other programs.
    pub job_type_evaluator: Option<PathBuf>,
    /// A dependency may be away this long before the process says that it does not serve: at most 5
    /// min.
    #[serde(with = "duration")]
    pub readiness_damping: Duration,
    /// How long tasks may take to finish at shutdown before they are aborted: at most 10 min.
    #[serde(with = "duration")]
    pub drain: Duration,
    /// What is logged, such as `info` or `info,headway_store=debug`.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 6420)),
            hosts: Vec::new(),
            web_origins: Vec::new(),
            data_dir: PathBuf::from(".headway"),
            database_url: None,
            database_schema: "headway".to_owned(),
            broker_url: None,
            prefix: "headway".to_owned(),
            roles: BTreeSet::from(Role::ALL),
            database_connections: 16,
            database_statement_timeout: Duration::from_secs(30),
            max_pipes: 1000,
            pipe_retention: Duration::from_secs(24 * 3600),
            lease_after: Duration::from_secs(5 * 60),
            split_timeout: Duration::from_secs(60),
            sweep_interval: Duration::from_secs(1),
            outbox_after: Duration::from_secs(5),
            repair_margin: Duration::from_secs(60),
            event_retention: Duration::from_secs(30 * 24 * 3600),
            epoch_interval: Duration::from_secs(5),
            max_splits_per_job: 16,
            max_watches: 20_000,
            file_roots: Vec::new(),
            client_share: 50,
            job_types_dir: None,
            job_type_variables: Vec::new(),
            job_type_evaluator: None,
            readiness_damping: DEFAULT_DAMPING,
            drain: Duration::from_secs(10),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}

impl Config {
    /// Loads and validates the settings.
    ///
    /// # Errors
    /// Those of [`Layers::load`]; fit to be shown to the user as they are.
    pub fn load(layers: &Layers) -> Result<Loaded<Self>, ConfigError> {
        layers.load()
    }

    /// Whether this process runs a role.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The embedded database's file, used where there is no `database_url`.
    pub fn sqlite_path(&self) -> PathBuf {
        self.data_dir.join("headway.db")
    }
}

impl fmt::Display for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_saphyr::to_string(self).map_err(|_| fmt::Error)?;
        formatter.write_str(text.trim_end())
    }
}

impl Settings for Config {
    fn is_for_others(key: &str) -> bool {
        // The configuration of job types.
        key.starts_with("job_type_")
    }

    fn problems(&self) -> Vec<Problem> {
        let second = Duration::from_secs(1);
        let checks = [
            check(!self.data_dir.as_os_str().is_empty(), "data_dir", || {
                "must not be empty".to_owned()
            }),
            has_scheme(
                "database_url",
                self.database_url.as_ref(),
                &["postgres", "postgresql", "sqlite"],
            ),
            has_scheme("broker_url", self.broker_url.as_ref(), &["amqp", "amqps"]),
            check(is_prefix(&self.prefix), "prefix", || {
                format!(
                    "must be 1 to 64 characters of a-z, 0-9 and -, not `{}`",
                    self.prefix.escape_debug()
                )
            }),
            self.hosts.iter().find(|host| !is_host(host)).map(|host| {
                let host = host.escape_debug();
                let why = format!(
                    "must be names like jobs.example.org or *.example.org, without a scheme and a port, not `{host}`"
                );
                Problem::new("hosts", why)
            }),
            self.web_origins
                .iter()
                .find(|origin| !is_origin(origin))
                .map(|origin| {
                    let origin = origin.escape_debug();
                    let why = format!(
                        "must be origins like https://jobs.example.org:8443, without a path, not `{origin}`"
                    );
                    Problem::new("web_origins", why)
                }),
            self.file_roots
                .iter()
                .find(|root| !is_plain_absolute(root))
                .map(|root| {
                    let why = format!("must be absolute paths without `..`, not {root:?}");
                    Problem::new("file_roots", why)
                }),
            check(!self.roles.is_empty(), "roles", || {
                "must name at least one of server, tracking and batch".to_owned()
            }),
            check(
                self.broker_url.is_some()
                    || self.roles.is_empty()
                    || self.roles.len() == Role::ALL.len(),
                "roles",
                || {
                    "must be all of server, tracking and batch without a broker_url, \
                     because pipes inside this process reach no other"
                        .to_owned()
                },
            ),
            check(is_schema(&self.database_schema), "database_schema", || {
                "must be 1 to 63 letters, digits and _".to_owned()
            }),
            in_range("database_connections", self.database_connections, 1, 1000),
            in_range("max_pipes", self.max_pipes, 1, 100_000),
            in_range("max_splits_per_job", self.max_splits_per_job, 1, 1024),
            in_range("max_watches", self.max_watches, 1, 1_000_000),
            in_range("client_share", self.client_share, 1, 100),
            lasts("lease_after", self.lease_after, second, MAX_HOLD),
            lasts(
                "database_statement_timeout",
                self.database_statement_timeout,
                second,
                3600 * second,
            ),
            lasts("split_timeout", self.split_timeout, second, MAX_HOLD),
            lasts(
                "sweep_interval",
                self.sweep_interval,
                Duration::from_millis(10),
                3600 * second,
            ),
            lasts(
                "pipe_retention",
                self.pipe_retention,
                second,
                365 * 24 * 3600 * second,
            ),
            lasts("repair_margin", self.repair_margin, second, 3600 * second),
            lasts(
                "event_retention",
                self.event_retention,
                second,
                MAX_RETENTION,
            ),
            lasts(
                "epoch_interval",
                self.epoch_interval,
                Duration::from_millis(100),
                3600 * second,
            ),
            lasts("outbox_after", self.outbox_after, second, 3600 * second),
            lasts(
                "readiness_damping",
                self.readiness_damping,
                Duration::ZERO,
                300 * second,
            ),
            lasts("drain", self.drain, Duration::ZERO, 600 * second),
            parse_filter(&self.log)
                .err()
                .map(|error| Problem::new("log", format!("is not a filter: {error}"))),
        ];
        checks.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests;
