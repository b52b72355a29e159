//! A role or a worker in a process of its own, which can be killed and started again.

mod input;
mod program;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use tokio::{
    fs::OpenOptions,
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    time::timeout,
};

pub use self::{input::end_with_input, program::Program};

/// How long a process may take until it says that it is ready, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of a log is shown after a failure.
const LOG_TAIL: usize = 6000;

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Serves clients.
    Server,
    /// Tracks.
    Tracking,
    /// Splits.
    Batch,
    /// All of these and a worker, with an embedded database and pipes.
    Embedded,
    /// Runs items.
    Worker,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "server",
            Self::Tracking => "tracking",
            Self::Batch => "batch",
            Self::Embedded => "embedded",
            Self::Worker => "worker",
        })
    }
}

/// A process that is started again with the same settings as often as one likes. It ends with the
/// test, whatever becomes of that: it is killed when this is dropped, and by itself when its
/// standard input ends.
#[derive(Debug)]
pub struct Process {
    role: Role,
    program: PathBuf,
    variables: Vec<(String, String)>,
    log: PathBuf,
    running: Option<(Child, ChildStdin)>,
    address: Option<SocketAddr>,
}

impl Process {
    /// A process that is not started yet. Its log is appended to this file.
    pub(crate) fn new(
        role: Role,
        program: &Path,
        variables: Vec<(String, String)>,
        log: PathBuf,
    ) -> Self {
        Self {
            role,
            program: program.to_owned(),
            variables,
            log,
            running: None,
            address: None,
        }
    }

    /// What it is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Where it listens, once it was ready. A later start listens there again.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Starts it and waits until it says that it is ready.
    ///
    /// # Errors
    /// When it ends or says nothing.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.launch().await?;
        self.ready().await
    }

    /// Starts it without waiting for it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn launch(&mut self) -> anyhow::Result<()> {
        ensure!(self.running.is_none(), "{} runs already", self.role);
        let log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.log)
            .await?;
        let mut command = Command::new(&self.program);
        command
            .arg(self.role.to_string())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.into_std().await)
            .kill_on_drop(true);
        if let Some(address) = self.address {
            command.env("HEADWAY_LISTEN", address.to_string());
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        let input = child.stdin.take().context("its standard input")?;
        self.running = Some((child, input));
        Ok(())
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// When it ends or says nothing.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let role = self.role;
        let (child, _) = self.running.as_mut().context("it was not started")?;
        let output = child.stdout.take().context("its standard output")?;
        let mut lines = BufReader::new(output).lines();
        let line = match timeout(PATIENCE, lines.next_line()).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => bail!("{role} has ended before it was ready:\n{}", self.log_tail()),
            Ok(Err(error)) => bail!("{role}: {error}"),
            Err(_) => bail!("{role} does not become ready:\n{}", self.log_tail()),
        };
        if let Some(address) = line.strip_prefix("ready ") {
            self.address = Some(address.parse().context("an address")?);
        }
        Ok(())
    }

    /// Kills it with SIGKILL.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some((mut child, _input)) = self.running.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Sends it a signal by name, such as `STOP` and `CONT`, which freeze it and let it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn signal(&self, name: &str) -> anyhow::Result<()> {
        let (child, _) = self.running.as_ref().context("it does not run")?;
        let pid = child.id().context("it has ended")?.to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        ensure!(
            status.await?.success(),
            "cannot send {name} to {}",
            self.role
        );
        Ok(())
    }

    /// The most memory that it ever used, in bytes, as Linux tells it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        let (child, _) = self.running.as_ref().context("it does not run")?;
        let pid = child.id().context("it has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        let kilobytes: u64 = kilobytes.context("VmHWM")?.parse()?;
        Ok(kilobytes * 1024)
    }

    /// Tells it to end in order, and waits for that.
    ///
    /// # Errors
    /// When it ends otherwise.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some((mut child, input)) = self.running.take() else {
            return Ok(());
        };
        drop(input);
        match timeout(PATIENCE, child.wait()).await {
            Ok(status) => {
                let status = status?;
                ensure!(status.success(), "{} has ended with {status}", self.role);
                Ok(())
            }
            Err(_) => {
                child.kill().await?;
                bail!("{} does not end", self.role)
            }
        }
    }

    /// Waits until it ends by itself; then it can be started again.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        let (child, _) = self.running.as_mut().context("it does not run")?;
        child.wait().await?;
        self.running = None;
        Ok(())
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let from = text.len().saturating_sub(LOG_TAIL);
        String::from_utf8_lossy(&text[from..]).into_owned()
    }
}
