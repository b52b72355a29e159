//! The main function of a process that runs one role: configuration, telemetry, signals,
//! connections, and an orderly end.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use headway_runtime::{config::Config, layers::Layers, shutdown, tasks::Supervisor, telemetry};

use super::Links;

/// Runs a role until a signal. `start` starts its tasks under the supervisor.
pub async fn main(
    name: &str,
    config: Option<PathBuf>,
    start: impl FnOnce(&Config, &Links, &Supervisor),
) -> ExitCode {
    match run(config, start).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(
    file: Option<PathBuf>,
    start: impl FnOnce(&Config, &Links, &Supervisor),
) -> anyhow::Result<()> {
    let loaded = Config::load(&Layers::from_process(file))?;
    telemetry::init(&loaded.settings.log, loaded.settings.log_format)?;
    let config = loaded.log_ignored();
    anyhow::ensure!(
        config.broker_url.is_some(),
        "set broker_url: a role in a process of its own reaches no pipes inside another process"
    );
    let supervisor = Supervisor::new(shutdown::on_signals()?);
    let links = Links::connect(&config, &supervisor).await?;
    start(&config, &links, &supervisor);
    tracing::info!("running");
    supervisor.shutdown().cancelled().await;
    let ended = supervisor.join(config.drain + Duration::from_secs(1)).await;
    links.close().await;
    Ok(ended?)
}
