//! `headway-worker-tracking`: the tracking role in a process of its own.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use headway_relay::process;
use headway_runtime::shutdown;
use headway_worker_tracking::start;

/// Headway's tracking worker. Settings come from defaults, a YAML file and HEADWAY_* variables, the
/// later ones winning.
#[derive(Debug, Parser)]
#[command(name = "headway-worker-tracking", version)]
struct Args {
    /// The YAML file with settings.
    #[arg(long, env = "HEADWAY_CONFIG")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    shutdown::run(process::main(
        "headway-worker-tracking",
        Args::parse().config,
        start,
    ))
}
