//! Several processes of each role on PostgreSQL and RabbitMQ.

use std::{net::TcpListener, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

use crate::{
    Export,
    job::{self, Folders, sibling},
};

/// How long the processes may take to start.
const START: Duration = Duration::from_secs(60);
/// How long a process may take to end when it is told to.
const STOP: Duration = Duration::from_secs(20);

/// Exports a folder and proves it.
pub(crate) async fn export(export: &Export) -> anyhow::Result<()> {
    let folders = Folders::make(export)?;
    let deployment = Deployment::from_environment(&folders)?;
    let mut processes = Vec::new();
    processes.push(deployment.start("headway-server", &[("HEADWAY_ROLES", "server")])?);
    for _ in 0..2 {
        processes.push(deployment.start("headway-worker-tracking", &[])?);
        processes.push(deployment.start("headway-worker-batch", &[])?);
    }
    for _ in 0..3 {
        processes.push(deployment.start("headway-documents", &[])?);
    }
    println!("1 server, 2 tracking, 2 batch and 3 document processes on PostgreSQL and RabbitMQ");
    let address = deployment.address();
    deployment.wait_until_served().await?;
    let outcome = tokio::select! {
        outcome = job::run(&address, Some("export-documents"), &folders, export.group) => outcome,
        name = first_to_end(&mut processes) => Err(anyhow::anyhow!("{name} ended before the job did")),
    };
    for (name, process) in processes {
        stop(name, process).await?;
    }
    outcome
}

/// Where everything is.
struct Deployment {
    database: String,
    broker: String,
    prefix: String,
    listen: String,
    file_roots: String,
}

impl Deployment {
    fn from_environment(folders: &Folders) -> anyhow::Result<Self> {
        let variable = |name: &str| {
            std::env::var(name)
                .with_context(|| format!("{name} is not set; use `make demo-cluster`"))
        };
        // The port is free now, and the server takes it a moment later.
        let listen = TcpListener::bind(("127.0.0.1", 0))?
            .local_addr()?
            .to_string();
        Ok(Self {
            database: variable("HEADWAY_TEST_DATABASE_URL")?,
            broker: variable("HEADWAY_TEST_AMQP_URL")?,
            prefix: format!("demo-{}", std::process::id()),
            listen,
            file_roots: folders
                .roots()
                .iter()
                .map(|root| root.to_str())
                .collect::<Option<Vec<_>>>()
                .context("the folders' names are not UTF-8")?
                .join(","),
        })
    }

    fn address(&self) -> String {
        format!("http://{}", self.listen)
    }

    fn start(
        &self,
        name: &'static str,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<(&'static str, Child)> {
        let program = sibling(name)?;
        let mut command = Command::new(&program);
        command
            .env("HEADWAY_DATABASE_URL", &self.database)
            .env("HEADWAY_DATABASE_SCHEMA", self.prefix.replace('-', "_"))
            .env("HEADWAY_BROKER_URL", &self.broker)
            .env("HEADWAY_PREFIX", &self.prefix)
            .env("HEADWAY_LISTEN", &self.listen)
            .env("HEADWAY_FILE_ROOTS", &self.file_roots)
            .env("HEADWAY_LOG", "warn")
            .envs(variables.iter().copied())
            // Those of the demonstration itself are no settings.
            .env_remove("HEADWAY_TEST_DATABASE_URL")
            .env_remove("HEADWAY_TEST_AMQP_URL")
            .env_remove("HEADWAY_TEST_SERVICES")
            .env_remove("HEADWAY_RUN_DIR")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", Path::new(&program).display()))?;
        Ok((name, child))
    }
}

impl Deployment {
    /// Waits until the server answers.
    async fn wait_until_served(&self) -> anyhow::Result<()> {
        let answers = async {
            while tokio::net::TcpStream::connect(&self.listen).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(START, answers)
            .await
            .with_context(|| format!("the server does not answer at {}", self.listen))
    }
}

/// Waits until any of the processes ends, which none should.
async fn first_to_end(processes: &mut [(&'static str, Child)]) -> &'static str {
    let waits = processes.iter_mut().map(|(name, process)| {
        Box::pin(async move {
            if let Err(error) = process.wait().await {
                tracing::debug!(%error, "cannot wait for a process");
            }
            *name
        })
    });
    futures::future::select_all(waits).await.0
}

/// Tells a process to end and waits for it.
async fn stop(name: &str, mut process: Child) -> anyhow::Result<()> {
    let Some(id) = process.id() else {
        return Ok(());
    };
    Command::new("kill").arg(id.to_string()).status().await?;
    let Ok(ended) = tokio::time::timeout(STOP, process.wait()).await else {
        process.kill().await?;
        bail!("{name} did not end within {} s", STOP.as_secs());
    };
    anyhow::ensure!(ended?.success(), "{name} ended badly");
    Ok(())
}
