//! A deployment of its own on PostgreSQL and RabbitMQ: one process of each role, its own schema and
//! queue prefix.

use std::{process::Stdio, time::Duration};

use anyhow::Context;
use headway_client::{Client, ClientConfig};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{
    child::Kind,
    services::{Scope, Services, scratch},
    sizes::CONCURRENCY,
    usage::{self, Watched},
};

/// The pipe of the no-op worker.
pub(crate) const PIPE: &str = "work";
/// A pipe that nobody consumes.
pub(crate) const IDLE_PIPE: &str = "idle";
/// How long a process may take until it is ready.
const START: Duration = Duration::from_secs(30);
/// How long a process may take to end before it is killed.
const END: Duration = Duration::from_secs(20);

struct Process {
    kind: Kind,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// A running deployment.
pub(crate) struct Cluster {
    /// Where its services are.
    pub services: Services,
    /// Its schema and prefix.
    pub scope: Scope,
    /// The API, connected.
    pub client: Client,
    address: String,
    processes: Vec<Process>,
    postgres: Option<u32>,
}

impl Cluster {
    /// Starts a deployment, does `body` with it, stops it and deletes what it made, also when
    /// `body` failed. With `worker` there is a process of the no-op worker on [`PIPE`].
    pub(crate) async fn with<T>(
        services: &Services,
        tag: &str,
        worker: bool,
        body: impl AsyncFnOnce(&mut Cluster) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let scope = Scope::new(tag);
        let started = Self::start(services, scope.clone(), worker).await;
        let done = match started {
            Ok(mut cluster) => {
                let done = body(&mut cluster).await;
                let stopped = cluster.stop().await;
                done.and_then(|value| stopped.map(|()| value))
            }
            Err(error) => Err(error),
        };
        let cleared = services.clear(&scope, &[PIPE, IDLE_PIPE]).await;
        done.and_then(|value| cleared.map(|()| value))
    }

    async fn start(services: &Services, scope: Scope, worker: bool) -> anyhow::Result<Self> {
        let mut kinds = vec![Kind::Server, Kind::Tracking, Kind::Batch];
        kinds.extend(worker.then_some(Kind::Worker));
        let spawned: Result<Vec<Process>, _> = kinds
            .into_iter()
            .map(|kind| spawn(services, &scope, kind))
            .collect();
        let mut processes = spawned?;
        let mut address = String::new();
        for process in &mut processes {
            let name = process.kind.name();
            let line = timeout(START, process.lines.next_line())
                .await
                .with_context(|| format!("the {name} process was not ready within 30 s"))??;
            let line = line.with_context(|| format!("the {name} process ended at its start"))?;
            if let Some(at) = line.strip_prefix("ready ") {
                address = at.to_owned();
            }
        }
        let client = Client::connect(ClientConfig::new(format!("http://{address}"))).await?;
        let postgres = postmaster(services).await.unwrap_or_default();
        Ok(Self {
            services: services.clone(),
            scope,
            client,
            address,
            processes,
            postgres,
        })
    }

    /// Another connection to the API.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(ClientConfig::new(format!("http://{}", self.address))).await?)
    }

    /// Where the API is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The process of a role.
    pub(crate) fn pid(&self, kind: Kind) -> Option<u32> {
        self.processes
            .iter()
            .find(|process| process.kind == kind)?
            .child
            .id()
    }

    /// The settings of a process of this deployment.
    pub(crate) fn settings(&self, kind: Option<Kind>) -> Vec<(&'static str, String)> {
        settings(&self.services, &self.scope, kind)
    }

    /// What to tell CPU time apart by, with these processes too.
    pub(crate) fn watched_with(&self, more: &[(&str, u32)]) -> Watched {
        let mut watched = self.watched();
        let more = more
            .iter()
            .map(|(name, pid)| ((*name).to_owned(), (*pid, false)));
        watched.extend(more);
        watched
    }

    /// What to tell CPU time apart by.
    pub(crate) fn watched(&self) -> Watched {
        let mut watched: Watched = self
            .processes
            .iter()
            .filter_map(|process| {
                Some((process.kind.name().to_owned(), (process.child.id()?, false)))
            })
            .collect();
        watched.insert("bench".to_owned(), (std::process::id(), false));
        if let Some(pid) = self.postgres {
            watched.insert("postgresql".to_owned(), (pid, true));
        }
        let folder = self.services.folder.as_deref();
        if let Some(pid) = folder.and_then(usage::rabbitmq_below) {
            watched.insert("rabbitmq".to_owned(), (pid, false));
        }
        watched
    }

    /// The most memory that each process had, in MB.
    pub(crate) fn peaks(&self) -> Vec<(Kind, f64)> {
        let peak = |process: &Process| Some((process.kind, usage::peak_mb(process.child.id()?)?));
        self.processes.iter().filter_map(peak).collect()
    }

    /// Ends every process; an error if one did not end well.
    async fn stop(mut self) -> anyhow::Result<()> {
        for process in &mut self.processes {
            drop(process.child.stdin.take());
        }
        for process in &mut self.processes {
            let name = process.kind.name();
            let ended = timeout(END, async {
                while let Some(line) = process.lines.next_line().await? {
                    if let Some(ran) = line.strip_prefix("ran ") {
                        eprintln!("  the worker ran {ran} items, its warm-up included");
                    }
                }
                process.child.wait().await
            });
            match ended.await {
                Ok(status) => {
                    let status = status?;
                    anyhow::ensure!(status.success(), "the {name} process failed: {status}");
                }
                Err(_) => {
                    process.child.kill().await?;
                    anyhow::bail!("the {name} process did not end within 20 s and was killed");
                }
            }
        }
        Ok(())
    }
}

fn spawn(services: &Services, scope: &Scope, kind: Kind) -> anyhow::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["role", kind.name()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .envs(settings(services, scope, Some(kind)));
    if kind == Kind::Worker {
        command.args(["--pipe", PIPE, "--concurrency", &CONCURRENCY.to_string()]);
    }
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start the {} process", kind.name()))?;
    let output = child.stdout.take().context("a child without output")?;
    Ok(Process {
        kind,
        child,
        lines: BufReader::new(output).lines(),
    })
}

/// Settings go by the environment: addresses hold passwords, which a command line would show to
/// everybody.
fn settings(services: &Services, scope: &Scope, kind: Option<Kind>) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("HEADWAY_DATABASE_URL", services.database_url.clone()),
        ("HEADWAY_BROKER_URL", services.amqp_url.clone()),
        ("HEADWAY_DATABASE_SCHEMA", scope.schema.clone()),
        ("HEADWAY_PREFIX", scope.prefix.clone()),
        // All of the bench's clients have one address.
        ("HEADWAY_CLIENT_SHARE", "100".to_owned()),
        ("HEADWAY_FILE_ROOTS", scratch().display().to_string()),
    ];
    if std::env::var_os("HEADWAY_LOG").is_none() {
        settings.push(("HEADWAY_LOG", "warn".to_owned()));
    }
    if let Some(role) = kind.and_then(Kind::role) {
        settings.push(("HEADWAY_ROLES", role.name().to_owned()));
    }
    settings
}

/// The process that all of the database's processes come from, if it runs on this machine.
async fn postmaster(services: &Services) -> anyhow::Result<Option<u32>> {
    use sqlx::Connection;
    let mut database = services.database().await?;
    let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut database)
        .await?;
    let parent = usage::parent(u32::try_from(backend)?);
    database.close().await?;
    Ok(parent)
}
