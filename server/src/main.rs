//! `headway-server`: the control plane. By default every role in one process, on an embedded
//! database.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use headway_job_types::child;
use headway_runtime::{config::Config, layers::Layers, shutdown, telemetry};
use headway_server::App;

/// Headway's control plane. Settings come from defaults, a YAML file, HEADWAY_* variables and these
/// flags; later ones win.
#[derive(Debug, Parser)]
#[command(name = "headway-server", version)]
struct Args {
    /// The YAML file with settings.
    #[arg(long, env = "HEADWAY_CONFIG")]
    config: Option<PathBuf>,
    /// The address to listen on.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// The folder of the embedded database.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The roles to run, such as `server,tracking,batch`.
    #[arg(long)]
    roles: Option<String>,
    /// Print the settings and end.
    #[arg(long)]
    print_config: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if child::is_meant(&arguments) {
        // Before there are threads, which would count against its limits.
        return ExitCode::from(u8::from(child::run().is_err()));
    }
    shutdown::run(start())
}

async fn start() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headway-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Raises the limit of open files, because every connection is one. If it cannot be raised, the
/// accept loop logs when it runs out of files.
fn raise_open_files() {
    if let Err(error) = rlimit::increase_nofile_limit(rlimit::INFINITY) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let layers = Layers::from_process(args.config)
        .set("listen", args.listen)
        .set(
            "data_dir",
            args.data_dir.map(|path| path.display().to_string()),
        )
        .set("roles", args.roles);
    let loaded = Config::load(&layers)?;
    let log = loaded.settings.log.clone();
    telemetry::init(&log, loaded.settings.log_format)?;
    let config = loaded.log_ignored();
    if args.print_config {
        print!("{config}");
        return Ok(());
    }
    raise_open_files();
    let shutdown = shutdown::on_signals()?;
    let listener = App::bind(&config).await?;
    App::build(config, shutdown).await?.run(listener).await
}
