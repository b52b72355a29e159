//! `headway-bench`: what Headway does in a second, each figure next to its raw limit, in one run on
//! one machine.
//!
//! Prints a table and writes a flat JSON object. Roles run as processes of this binary, see
//! [`child`].

mod child;
mod cluster;
mod driver;
mod embedded;
mod fan_out;
mod helper;
mod jobs;
mod report;
mod sections;
mod services;
mod sizes;
mod sleeper;
mod starts;
mod stats;
mod usage;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use sections::Section;

/// Measures Headway next to the raw limits of its database and its message broker.
#[derive(Debug, Parser)]
#[command(name = "headway-bench", version)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Where the figures go, as a flat JSON object.
    #[arg(long)]
    out: Option<PathBuf>,
    /// A hundredth of every size and no thresholds: is everything right, not how fast is it.
    #[arg(long)]
    short: bool,
    /// Only these sections, as in `a,c`.
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Section>,
    /// Section w also watches for this many seconds whether the server's memory grows.
    #[arg(long, value_name = "SECONDS")]
    soak: Option<u64>,
    /// Items of a job in sections c and d.
    #[arg(long)]
    items: Option<u64>,
    /// How many items of one job may be out at once in sections c, d, g and h.
    #[arg(long, default_value_t = sizes::WINDOW)]
    window: i32,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs one role until standard input ends; the bench starts these itself.
    #[command(hide = true)]
    #[command(subcommand)]
    Role(child::Role),
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.command {
        Some(Command::Role(role)) => child::run(role).await,
        None => measure(args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("headway-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(args: Args) -> anyhow::Result<()> {
    let log = std::env::var("HEADWAY_LOG").unwrap_or_else(|_| "warn".into());
    headway_runtime::telemetry::init(&log, Default::default())?;
    let mut sizes = if args.short {
        sizes::Sizes::short()
    } else {
        sizes::Sizes::full()
    };
    sizes.items = args.items.unwrap_or(sizes.items);
    sizes.window = args.window;
    sizes.fan_out.soak = args.soak.map(std::time::Duration::from_secs);
    let wanted = if args.only.is_empty() {
        Section::ALL.to_vec()
    } else {
        args.only
    };
    sections::run(&wanted, sizes, args.out.as_deref()).await
}
