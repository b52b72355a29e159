//! The command line of Headway, as a library: [`main_with`] runs one command line in process.

mod args;
mod batches;
mod commands;
mod events;
mod failure;
mod input;
mod job_types;
mod jobs;
mod output;
mod partitions;
mod pipes;
mod remote;
mod schedules;
mod settings;
mod watch;

use std::ffi::OsString;

use clap::{CommandFactory, Parser};

use crate::{
    args::{Cli, Command},
    failure::Failure,
    settings::Settings,
};
pub use crate::{
    failure::ExitStatus,
    output::console::{Console, Screen},
};

/// Runs one command line, the program's name first, and says how it ended.
///
/// Output goes to `console` alone, but for progress bars, which are drawn where its
/// [`Screen`] says. Files that the arguments name are read, and the standard input where an
/// argument is `-`. Must be called within a tokio runtime with I/O and time.
pub async fn main_with<I, T>(arguments: I, console: &mut Console) -> ExitStatus
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return explain(&error, console),
    };
    match run(cli, console).await {
        Ok(status) => status,
        Err(failure) => {
            // Where the standard error is gone too, the status has to do.
            let _ = console.error(&failure.to_string());
            failure.status()
        }
    }
}

/// Prints help, the version, or what is wrong with the arguments.
fn explain(error: &clap::Error, console: &mut Console) -> ExitStatus {
    let text = error.render().to_string();
    let (printed, status) = match error.use_stderr() {
        true => (console.error(&text), ExitStatus::Usage),
        false => (console.text(&text), ExitStatus::Completed),
    };
    match printed {
        Ok(()) => status,
        Err(_) => ExitStatus::Failed,
    }
}

async fn run(cli: Cli, console: &mut Console) -> Result<ExitStatus, Failure> {
    if let Command::Completions { shell } = &cli.command {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut Cli::command(), "headway", &mut script);
        console.text(&String::from_utf8_lossy(&script))?;
        return Ok(ExitStatus::Completed);
    }
    let settings = Settings::load(&cli.global, console)?;
    commands::run(cli.command, settings, console).await
}
