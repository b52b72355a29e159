//! `headway-demo`: exports every file below a folder as one job, shows it live, and proves the
//! archives.
//!
//! `embedded` runs everything in this process, or uses the server that `serve` runs; `cluster` runs
//! several processes of each role on PostgreSQL and RabbitMQ; `serve` runs an embedded server with
//! the document workers until it is told to stop.

mod cluster;
mod embedded;
mod job;
mod served;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use headway_job_types::child;
use headway_runtime::{LogFormat, config::Config, shutdown, telemetry};

/// Headway's demonstration.
#[derive(Debug, Parser)]
#[command(name = "headway-demo", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// What to log, as in `info` or `headway_server=debug`.
    #[arg(long, env = "HEADWAY_LOG", default_value = "warn", global = true)]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// By the server that `serve` runs, if there is one; else everything in this process: SQLite,
    /// and pipes in memory.
    Embedded(Export),
    /// A server, two tracking, two batch and three document processes, on PostgreSQL and RabbitMQ.
    Cluster(Export),
    /// An embedded server with the document workers, until a signal.
    Serve {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:6420")]
        listen: SocketAddr,
        /// Where the database is kept.
        #[arg(long, default_value = ".run/serve")]
        data_dir: PathBuf,
        /// The folders in and below which jobs may read and write files, separated by commas.
        #[arg(long, value_delimiter = ',')]
        file_roots: Vec<PathBuf>,
        /// The folder with its job types.
        #[arg(long)]
        job_types_dir: Option<PathBuf>,
    },
}

/// What to export.
#[derive(Debug, Args)]
struct Export {
    /// The folder whose files are exported.
    #[arg(long)]
    dir: PathBuf,
    /// Where the archives and the database go; a folder made in it is removed at the end.
    #[arg(long, default_value = ".run")]
    run_dir: PathBuf,
    /// Files in one archive at most.
    #[arg(long, default_value_t = 8)]
    group: u32,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if child::is_meant(&arguments) {
        // The server in this process runs the programs of job types so.
        return ExitCode::from(u8::from(child::run().is_err()));
    }
    shutdown::run(start())
}

async fn start() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = telemetry::init(&arguments.log, LogFormat::Text) {
        eprintln!("headway-demo: {error}");
        return ExitCode::from(2);
    }
    let outcome = match arguments.command {
        Command::Embedded(export) => match served::find(&export.run_dir).await {
            Some(address) => served::export(&address, &export).await,
            None => embedded::export(&export).await,
        },
        Command::Cluster(export) => cluster::export(&export).await,
        Command::Serve {
            listen,
            data_dir,
            mut file_roots,
            job_types_dir,
        } => match shutdown::on_signals() {
            Ok(token) => {
                // Jobs name folders as they are given, or as they really are.
                let real: Vec<_> = file_roots
                    .iter()
                    .filter_map(|root| root.canonicalize().ok())
                    .collect();
                file_roots.extend(real);
                file_roots.extend(data_dir.parent().and_then(job::archives));
                let config = Config {
                    data_dir,
                    file_roots,
                    job_types_dir,
                    ..Config::default()
                };
                embedded::serve(listen, config, token).await
            }
            Err(error) => Err(error.into()),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headway-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}
