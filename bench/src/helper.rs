//! A process of this binary beside the roles: it says `ready` with its address, if it has one, and
//! ends when its input does.

use std::{process::Stdio, time::Duration};

use anyhow::Context;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// How long it may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running helper.
pub(crate) struct Helper {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Its address, if it has one.
    pub address: String,
    /// Its process.
    pub pid: u32,
}

impl Helper {
    /// Starts one with these arguments and settings.
    pub(crate) async fn start(
        arguments: &[String],
        settings: impl IntoIterator<Item = (&'static str, String)>,
    ) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .envs(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().context("a child without output")?;
        let mut lines = BufReader::new(output).lines();
        let line = timeout(PATIENCE, lines.next_line())
            .await
            .context("a helper was not ready in time")??;
        let line = line.context("a helper ended at its start")?;
        let address = line
            .strip_prefix("ready")
            .context("a helper is not ready")?;
        let pid = child.id().context("a helper ended at its start")?;
        Ok(Self {
            child,
            lines,
            address: address.trim().to_owned(),
            pid,
        })
    }

    /// Ends it; the last line that it said.
    pub(crate) async fn end(mut self) -> anyhow::Result<String> {
        drop(self.child.stdin.take());
        let ended = timeout(PATIENCE, async {
            let mut last = String::new();
            while let Some(line) = self.lines.next_line().await? {
                last = line;
            }
            let status = self.child.wait().await?;
            anyhow::ensure!(status.success(), "a helper failed: {status}");
            Ok(last)
        });
        ended.await.context("a helper did not end in time")?
    }
}
