//! The command line's grammar.

mod admin;
mod jobs;
mod submit;
mod values;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use admin::*;
pub(crate) use jobs::*;
pub(crate) use submit::*;
pub(crate) use values::*;

/// Submit, watch and control jobs of a Headway server.
///
/// Settings come from flags, then the environment (HEADWAY_SERVER, HEADWAY_PARTITION, HEADWAY_USER,
/// HEADWAY_OUTPUT, HEADWAY_TIMEOUT, HEADWAY_CA_FILE), then the configuration file.
///
/// Exit status: 0 completed, 1 failed or cancelled, 2 usage, 3 server unreachable.
#[derive(Debug, Parser)]
#[command(name = "headway", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Default, Args)]
pub(crate) struct GlobalArgs {
    /// The server's address [default: http://127.0.0.1:6420]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// The partition of jobs that you name by their id alone [default: default]
    #[arg(short, long, global = true)]
    pub partition: Option<String>,
    /// The name of the caller in the audit log [default: HEADWAY_USER, else USER]
    #[arg(long, global = true)]
    pub user: Option<String>,
    /// The format of results [default: table]
    #[arg(short, long, global = true, value_enum)]
    pub output: Option<Format>,
    /// How long one call may take, such as 10s or 2m [default: 30s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// A file with certificate authorities (PEM), to check an https server [default: those that
    /// the system trusts]
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The configuration file [default: HEADWAY_CLI_CONFIG, else ~/.config/headway/config.yaml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs: the API's messages as JSON
    Json,
    /// The same as YAML
    Yaml,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Submit a job and print its name
    Submit {
        #[command(flatten)]
        job: Box<SubmitArgs>,
        /// Wait until the job has ended; the exit status says how
        #[arg(long, conflicts_with = "validate_only")]
        wait: bool,
        /// Only check the job; create nothing
        #[arg(long)]
        validate_only: bool,
    },
    /// Submit all jobs of a file and print their names; they may be prerequisites of each other
    SubmitAll {
        /// Jobs as for `submit -f`: one after the other in JSON, or a list in JSON or YAML; - for
        /// stdin
        file: PathBuf,
    },
    /// Submit a job and watch it until it has ended
    Run {
        #[command(flatten)]
        job: Box<SubmitArgs>,
    },
    /// Show jobs in full
    Get(JobsArgs),
    /// List the jobs of the partition, newest first
    #[command(visible_alias = "list")]
    Ls {
        /// Only jobs in this state; may be repeated
        #[arg(long, value_enum, ignore_case = true)]
        state: Vec<StateArg>,
        /// Only jobs with this label; may be repeated
        #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
        label: Vec<(String, String)>,
        /// Only jobs that match this filter, such as 'state = FAILED AND labels.team = blue'
        #[arg(long)]
        filter: Option<String>,
        /// The order: create_time, id or display_name, with ' desc' for the largest first [default:
        /// create_time desc]
        #[arg(long, value_name = "FIELD", conflicts_with = "follow")]
        order_by: Option<String>,
        /// The most jobs to print [default: all]
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        limit: Option<u32>,
        /// Then print every change, until interrupted
        #[arg(short, long)]
        follow: bool,
    },
    /// Count the jobs of the partition by state
    Count {
        /// Only jobs that match this filter, such as 'labels.team = blue'
        #[arg(long, default_value = "", hide_default_value = true)]
        filter: String,
    },
    /// Watch jobs until they have ended; stopping the watch does not stop the jobs
    Watch(JobsArgs),
    /// Pause jobs: start no more of their items
    Pause(JobsArgs),
    /// Resume paused jobs
    Resume(JobsArgs),
    /// Cancel jobs
    Cancel(JobsArgs),
    /// Run failed and discarded items of ended jobs again, or some failures of a running job
    Retry {
        #[command(flatten)]
        jobs: JobsArgs,
        /// Also retry the jobs that failed because of these jobs; they wait for them again
        #[arg(long)]
        dependents: bool,
        #[command(flatten)]
        failures: FailureArgs,
        /// Only say what would run; change nothing
        #[arg(long)]
        validate_only: bool,
    },
    /// Pause, resume, cancel, retry or delete all jobs that match a filter, in the background
    Bulk(BulkArgs),
    /// List the failures of a job, oldest first
    Failures {
        /// The job: its id, or partitions/PARTITION/jobs/JOB
        job: String,
        #[command(flatten)]
        failures: FailureArgs,
        /// The most failures to print [default: all]
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
        /// Print each failure as one line of JSON as soon as it is read, for any number of failures
        #[arg(long)]
        ndjson: bool,
    },
    /// List, send again or drop dead letters: items whose messages the broker gave up
    Dead {
        /// What to do [default: list them]
        #[arg(value_enum)]
        action: Option<DeadAction>,
        #[command(flatten)]
        which: DeadArgs,
    },
    /// Show the audit log of the partition, or of a job, oldest first
    Events(EventsArgs),
    /// Say why jobs do not run or do not end
    Explain(JobsArgs),
    /// Show, change, suspend or resume the partition; while it is suspended, none of its jobs runs
    Partition {
        /// What to do [default: show it]
        #[arg(value_enum)]
        action: Option<PartitionAction>,
        /// When to delete jobs that do not say it, such as end+P7D, for one final state or for all;
        /// may be repeated
        #[arg(long, value_name = "[STATE=]EXPIRY", value_parser = expiry, conflicts_with = "action")]
        retention: Vec<(Option<RetentionState>, String)>,
        /// The weight of the partition against others that use the same pipes, 1 to 1000
        #[arg(long, conflicts_with = "action")]
        weight: Option<i32>,
        /// The most unfinished jobs of the partition; 0 for any number
        #[arg(long, value_name = "JOBS", conflicts_with = "action")]
        max_open_jobs: Option<i32>,
        /// The most items of the partition in pipes and at workers; 0 for any number
        #[arg(long, value_name = "ITEMS", conflicts_with = "action")]
        max_items_in_flight: Option<i32>,
    },
    /// Manage schedules, which create jobs at the times of a cron pattern
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Manage job types, which make the work of jobs from parameters
    #[command(subcommand)]
    Type(TypeCommand),
    /// Show the batches of a job with their counts, also while it runs
    Batches(BatchesArgs),
    /// Show the pipes that the partition's jobs have used
    Pipes,
    /// Show or set the limits of pipes, for all partitions together
    Limits(LimitsArgs),
    /// Change settings of jobs, such as priority or labels; their work stays as it is
    Update {
        #[command(flatten)]
        jobs: JobsArgs,
        #[command(flatten)]
        changes: UpdateArgs,
    },
    /// Delete jobs; unfinished jobs are cancelled first
    #[command(visible_alias = "delete")]
    Rm(JobsArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[cfg(test)]
mod documentation;
