//! The private PostgreSQL and RabbitMQ, stopped, killed and started again.

mod brokers;
mod namespace;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use tokio::process::Command;

pub(crate) use self::namespace::left_in;
pub use self::{
    brokers::{BUSY, TIGHT_BYTES, blind, busy, deaf, full, leaderless, tight, twice},
    namespace::Namespace,
};

/// The control of the private services.
#[derive(Debug, Clone)]
pub struct Services(PathBuf);

impl Services {
    /// Those that the environment names; none where the services are somebody else's.
    pub fn from_environment() -> Option<Self> {
        let control = std::env::var_os("HEADWAY_TEST_SERVICES")?;
        Some(Self(control.into()))
    }

    /// Runs a command, such as `kill-rabbit`, to its end.
    ///
    /// # Errors
    /// When it fails.
    pub async fn run(&self, command: &str) -> anyhow::Result<()> {
        let output = Command::new(&self.0)
            .arg(command)
            .output()
            .await
            .with_context(|| format!("{} cannot be run", self.0.display()))?;
        ensure!(
            output.status.success(),
            "{command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}
