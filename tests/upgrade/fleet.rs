//! Processes of several versions over one database and broker. It works with the libraries of older
//! revisions too: `leave.rs` is built within them.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, bail, ensure};
use headway_client::{Client, ClientConfig};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    time::timeout,
};

/// How long a process may take to be ready, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Processes that share a folder, a database and a broker.
pub(crate) struct Fleet {
    variables: Vec<(String, String)>,
    address: Option<SocketAddr>,
    running: BTreeMap<&'static str, (Child, ChildStdin)>,
}

impl Fleet {
    /// None yet. `variables` are settings without their prefix.
    pub(crate) fn new(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let items = folder.join("items").display().to_string();
        let data = folder.display().to_string();
        let own = [
            ("DATA_DIR", data.as_str()),
            ("TEST_ITEMS", items.as_str()),
            ("LISTEN", "127.0.0.1:0"),
            ("SWEEP_INTERVAL", "100ms"),
            ("EPOCH_INTERVAL", "500ms"),
            ("DRAIN", "5s"),
        ];
        let all = own.iter().chain(variables);
        let named = all.map(|(name, value)| (format!("HEADWAY_{name}"), (*value).to_owned()));
        Self {
            variables: named.collect(),
            address: None,
            running: BTreeMap::new(),
        }
    }

    /// Starts a role of a program and waits until it is ready.
    pub(crate) async fn start(&mut self, role: &'static str, program: &Path) -> anyhow::Result<()> {
        let mut command = Command::new(program);
        let variables = self.variables.iter();
        command
            .arg(role)
            .envs(variables.map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        if let Some(address) = self.address {
            command.env("HEADWAY_LISTEN", address.to_string());
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let input = child.stdin.take().context("its standard input")?;
        let output = child.stdout.take().context("its standard output")?;
        let mut lines = BufReader::new(output).lines();
        let line = match timeout(PATIENCE, lines.next_line()).await {
            Ok(Ok(Some(line))) => line,
            Ok(_) => bail!("{role} has ended before it was ready"),
            Err(_) => bail!("{role} does not become ready"),
        };
        if let Some(address) = line.strip_prefix("ready ") {
            self.address = Some(address.parse()?);
        }
        self.running.insert(role, (child, input));
        Ok(())
    }

    /// Kills a role.
    pub(crate) async fn kill(&mut self, role: &str) -> anyhow::Result<()> {
        if let Some((mut child, _)) = self.running.remove(role) {
            child.kill().await?;
        }
        Ok(())
    }

    /// Tells a role to end, and waits for that.
    pub(crate) async fn stop(&mut self, role: &str) -> anyhow::Result<()> {
        if let Some((mut child, input)) = self.running.remove(role) {
            drop(input);
            let ended = timeout(PATIENCE, child.wait()).await;
            let ended = ended.with_context(|| format!("{role} does not end"))??;
            ensure!(ended.success(), "{role} has ended with {ended}");
        }
        Ok(())
    }

    /// A client of the server.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        let address = self.address.context("no process listens")?;
        Ok(Client::connect(ClientConfig::new(format!("http://{address}"))).await?)
    }
}
