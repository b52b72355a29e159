//! `headway-worker-batch`: the batch role in a process of its own.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use headway_relay::process;
use headway_runtime::shutdown;
use headway_splitters::{FileRoots, Registry};
use headway_worker_batch::start;

/// Headway's batch worker. Settings come from defaults, a YAML file and HEADWAY_* variables, the
/// later ones winning.
#[derive(Debug, Parser)]
#[command(name = "headway-worker-batch", version)]
struct Args {
    /// The YAML file with settings.
    #[arg(long, env = "HEADWAY_CONFIG")]
    config: Option<PathBuf>,
}

fn main() -> ExitCode {
    shutdown::run(process::main(
        "headway-worker-batch",
        Args::parse().config,
        |config, links, supervisor| {
            let roots = FileRoots::new(config.file_roots.iter().cloned());
            start(config, links, Registry::with_file_roots(roots), supervisor);
        },
    ))
}
