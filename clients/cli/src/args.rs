//! The command line's grammar.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use headway::v1::{JobState, PrerequisitePolicy, failure_policy, schedule::OverlapPolicy};
use headway_client::BulkAction;
use jiff::SignedDuration;
use prost_types::Timestamp;

/// Submit, watch and control jobs of a Headway server.
///
/// Settings come from flags, then the environment (HEADWAY_SERVER, HEADWAY_PARTITION, HEADWAY_USER,
/// HEADWAY_OUTPUT, HEADWAY_TIMEOUT, HEADWAY_CA_FILE), then the configuration file.
///
/// Exit status: 0 completed, 1 failed or cancelled, 2 usage, 3 server unreachable.
#[derive(Debug, Parser)]
#[command(name = "headway", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Default, Args)]
pub struct GlobalArgs {
    /// The server's address [default: http://127.0.0.1:6420]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// The partition of jobs that are named by their id alone [default: default]
    #[arg(short, long, global = true)]
    pub partition: Option<String>,
    /// Who the audit log says did it [default: HEADWAY_USER, else USER]
    #[arg(long, global = true)]
    pub user: Option<String>,
    /// How results are printed [default: table]
    #[arg(short, long, global = true, value_enum)]
    pub output: Option<Format>,
    /// How long one call may take, such as 10s or 2m [default: 30s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// The certificate authority (PEM) that an https server is checked against
    #[arg(long, global = true, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The configuration file [default: HEADWAY_CONFIG, else ~/.config/headway/config.yaml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs: the API's messages as JSON
    Json,
    /// The same as YAML
    Yaml,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Submit a job and print its name
    Submit {
        #[command(flatten)]
        job: Box<SubmitArgs>,
        /// Wait until the job has ended; the exit status tells how
        #[arg(long, conflicts_with = "validate_only")]
        wait: bool,
        /// Only check the job; nothing is created
        #[arg(long)]
        validate_only: bool,
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
        /// Only jobs that this is true of, such as 'state = FAILED AND labels.team = blue'
        #[arg(long, conflicts_with = "follow")]
        filter: Option<String>,
        /// create_time, id or display_name, with ' desc' for the largest first [default: create_time desc]
        #[arg(long, value_name = "FIELD", conflicts_with = "follow")]
        order_by: Option<String>,
        /// At most so many jobs [default: all]
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        limit: Option<u32>,
        /// Then tell of every change, until it is interrupted
        #[arg(short, long)]
        follow: bool,
    },
    /// Watch jobs until they have ended; leaving it does not touch them
    Watch(JobsArgs),
    /// Hold jobs: nothing new of them is started
    Pause(JobsArgs),
    /// Let paused jobs go on
    Resume(JobsArgs),
    /// End jobs now
    Cancel(JobsArgs),
    /// Run again what failed or was discarded in jobs that have ended
    Retry {
        #[command(flatten)]
        jobs: JobsArgs,
        /// Also the jobs that failed because these had: they wait for them again
        #[arg(long)]
        dependents: bool,
        #[command(flatten)]
        failures: FailureArgs,
        /// Only say what the jobs would be like; nothing is changed
        #[arg(long)]
        validate_only: bool,
    },
    /// Pause, resume, cancel, retry or delete all jobs that match, as a job of its own
    Bulk(BulkArgs),
    /// List the failures of a job, oldest first
    Failures {
        /// The job: its id, or partitions/PARTITION/jobs/JOB
        job: String,
        #[command(flatten)]
        failures: FailureArgs,
        /// At most so many failures [default: all]
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
        /// Print each failure as a line of JSON, as they come: for any number of them
        #[arg(long)]
        ndjson: bool,
    },
    /// Show, send again or drop items whose messages the broker gave up
    Dead {
        /// What to do [default: list them]
        #[arg(value_enum)]
        action: Option<DeadAction>,
        #[command(flatten)]
        which: DeadArgs,
    },
    /// Show the audit log of the partition, or of a job, oldest first
    Events(EventsArgs),
    /// Say why jobs do not run, or do not end
    Explain(JobsArgs),
    /// Show, suspend or resume the partition: while it is suspended, nothing of its jobs runs
    Partition {
        /// What to do [default: show it]
        #[arg(value_enum)]
        action: Option<PartitionAction>,
        /// How long its jobs are kept where they do not say it, such as end+P7D, for one state or for all; may be repeated
        #[arg(long, value_name = "[STATE=]EXPIRY", value_parser = expiry, conflicts_with = "action")]
        retention: Vec<(Option<RetentionState>, String)>,
        /// Its part of pipes against that of other partitions, 1 to 1000
        #[arg(long, conflicts_with = "action")]
        weight: Option<i32>,
        /// How many of its jobs may not have ended; 0 for any number
        #[arg(long, value_name = "JOBS", conflicts_with = "action")]
        max_open_jobs: Option<i32>,
        /// How many of its items may be in pipes and at workers; 0 for any number
        #[arg(long, value_name = "ITEMS", conflicts_with = "action")]
        max_items_in_flight: Option<i32>,
    },
    /// Make jobs again and again, at times of a cron pattern
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Definitions that make the work of jobs of parameters
    #[command(subcommand)]
    Type(TypeCommand),
    /// Show the batches of a job with their counts, also while it runs
    Batches(BatchesArgs),
    /// Show the pipes that the partition's jobs have used
    Pipes,
    /// Show or set what pipes take of all partitions together
    Limits(LimitsArgs),
    /// Change some of what jobs are to do; the work stays as it is
    Update {
        #[command(flatten)]
        jobs: JobsArgs,
        #[command(flatten)]
        changes: UpdateArgs,
    },
    /// Delete jobs; those that have not ended are cancelled first
    #[command(visible_alias = "delete")]
    Rm(JobsArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Which failures are meant.
#[derive(Debug, Clone, Default, Args)]
pub struct FailureArgs {
    /// Only failures with this code; may be repeated
    #[arg(long)]
    pub code: Vec<String>,
    /// Only failures in this batch, or below; may be repeated
    #[arg(long, value_name = "NUMBER")]
    pub batch: Vec<u32>,
    /// Only the failure of this item, such as 3-17; may be repeated
    #[arg(long)]
    pub item: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeadAction {
    /// Retry the jobs that have ended, with these items alone
    Redrive,
    /// Forget what is known of them but that their items failed
    Drop,
}

#[derive(Debug, Args)]
pub struct DeadArgs {
    /// Only those of jobs of this pipe
    #[arg(long)]
    pub pipe: Option<String>,
    /// Only those of this job, by its id
    #[arg(long)]
    pub job: Option<String>,
    /// At most so many when they are listed [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

#[derive(Debug, Args)]
pub struct LimitsArgs {
    /// The pipe [default: all that have limits]
    #[arg(required_if_eq("none", "true"))]
    pub pipe: Option<String>,
    /// Items in the pipe and at its workers at most; 0 for any number
    #[arg(long, value_name = "ITEMS", requires = "pipe")]
    pub max_in_flight: Option<i32>,
    /// Items sent to it per second at most; 0 for any number
    #[arg(long, value_name = "ITEMS", requires = "pipe")]
    pub max_per_second: Option<f64>,
    /// Take all limits away
    #[arg(long, conflicts_with_all = ["max_in_flight", "max_per_second"])]
    pub none: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args(
    ["label", "no_labels", "description", "priority", "max_in_flight", "max_failed", "max_failed_percent", "on_exceeded", "retention"],
))]
pub struct UpdateArgs {
    /// A label, beside those that the job has; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub label: Vec<(String, String)>,
    /// Take away the labels that it has
    #[arg(long)]
    pub no_labels: bool,
    /// A text for people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Its priority, 0 to 9, the highest first
    #[arg(long)]
    pub priority: Option<i32>,
    /// How many items may be out at once
    #[arg(long, value_name = "ITEMS")]
    pub max_in_flight: Option<i32>,
    /// So many items may fail before the job counts as failed
    #[arg(long, value_name = "ITEMS", conflicts_with = "max_failed_percent")]
    pub max_failed: Option<i64>,
    /// So large a part of all items may fail, in percent
    #[arg(long, value_name = "PERCENT")]
    pub max_failed_percent: Option<f64>,
    /// What happens once more has failed
    #[arg(long, value_enum)]
    pub on_exceeded: Option<OnExceededArg>,
    /// When the job is deleted once it is over, such as end+P7D, for one state or for all; may be repeated
    #[arg(long, value_name = "[STATE=]EXPIRY", value_parser = expiry)]
    pub retention: Vec<(Option<RetentionState>, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PartitionAction {
    /// Hold every job of the partition
    Suspend,
    /// Let its jobs go on
    Resume,
}

#[derive(Debug, Subcommand)]
pub enum TypeCommand {
    /// List the job types
    #[command(visible_alias = "list")]
    Ls,
    /// Show a job type and its definition
    Get {
        /// The type's id
        id: String,
    },
    /// Add a job type
    Create {
        /// The type's id
        id: String,
        /// Its definition in YAML or JSON; - for stdin
        #[arg(short, long)]
        file: PathBuf,
        /// Only check the definition
        #[arg(long)]
        validate_only: bool,
    },
    /// Change a job type, for jobs that are created from then on
    Update {
        /// The type's id
        id: String,
        /// Its new definition in YAML or JSON; - for stdin
        #[arg(short, long)]
        file: PathBuf,
        /// The version that it is made from [default: whatever it is]
        #[arg(long)]
        from_version: Option<String>,
    },
    /// Delete a job type; its jobs stay
    #[command(visible_alias = "delete")]
    Rm {
        /// The type's id
        id: String,
    },
    /// Make work of parameters by a definition, here and without a server, and print it
    Test {
        /// The definition in YAML or JSON; - for stdin
        file: PathBuf,
        /// The parameters: a JSON object, or @FILE
        #[arg(long, value_name = "JSON", default_value = "{}")]
        parameters: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Make jobs at times of a cron pattern from now on
    Create {
        /// The schedule's id
        #[arg(value_name = "ID")]
        schedule_id: String,
        #[command(flatten)]
        schedule: Box<ScheduleArgs>,
    },
    /// List the schedules of the partition
    #[command(visible_alias = "list")]
    Ls,
    /// Show a schedule
    Get {
        /// The schedule's id
        id: String,
    },
    /// Make no jobs until the schedule is resumed
    Pause {
        /// The schedule's id
        id: String,
    },
    /// Make jobs again, from now on
    Resume {
        /// The schedule's id
        id: String,
    },
    /// Make a job now
    Run {
        /// The schedule's id
        id: String,
    },
    /// Delete a schedule; its jobs stay
    #[command(visible_alias = "delete")]
    Rm {
        /// The schedule's id
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// When: minute, hour, day, month and weekday, such as '0 3 * * MON-FRI', or a nickname such as @daily
    #[arg(long)]
    pub cron: String,
    /// The time zone of the pattern, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// What happens when a time comes while the job of an earlier one has not ended [default: skip]
    #[arg(long, value_enum)]
    pub overlap: Option<OverlapArg>,
    /// How late a time is still dealt with that was missed, such as 10m or 2h [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub catch_up: Option<Duration>,
    #[command(flatten)]
    pub job: SubmitArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OverlapArg {
    /// The time is passed over
    Skip,
    /// The new job waits; at most one does
    Queue,
    /// The job before is cancelled
    CancelPrevious,
}

impl From<OverlapArg> for OverlapPolicy {
    fn from(overlap: OverlapArg) -> Self {
        match overlap {
            OverlapArg::Skip => Self::Skip,
            OverlapArg::Queue => Self::Queue,
            OverlapArg::CancelPrevious => Self::CancelPrevious,
        }
    }
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["filter", "all"]))]
pub struct BulkArgs {
    /// What to do to them
    #[arg(value_enum)]
    pub action: BulkActionArg,
    /// The jobs that this is true of, such as 'state = FAILED AND labels.team = blue'
    #[arg(long)]
    pub filter: Option<String>,
    /// All jobs of the partition
    #[arg(long)]
    pub all: bool,
    /// Only say how many there are; nothing is changed
    #[arg(long)]
    pub validate_only: bool,
    /// Wait until it is done
    #[arg(long, conflicts_with = "validate_only")]
    pub wait: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BulkActionArg {
    /// Those that have not ended
    Pause,
    /// Those that are paused
    Resume,
    /// Those that have not ended
    Cancel,
    /// Those that failed or were cancelled
    Retry,
    /// Whatever their state
    Delete,
}

impl From<BulkActionArg> for BulkAction {
    fn from(action: BulkActionArg) -> Self {
        match action {
            BulkActionArg::Pause => Self::Pause,
            BulkActionArg::Resume => Self::Resume,
            BulkActionArg::Cancel => Self::Cancel,
            BulkActionArg::Retry => Self::Retry,
            BulkActionArg::Delete => Self::Delete,
        }
    }
}

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// The job: its id, or partitions/PARTITION/jobs/JOB [default: all of the partition]
    pub job: Option<String>,
    /// Tell of events from now on, or after CURSOR, until it is interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// Only events after this one [default: from the earliest]
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<String>,
    /// At most so many events [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

#[derive(Debug, Args)]
pub struct BatchesArgs {
    /// The job: its id, or partitions/PARTITION/jobs/JOB
    pub job: String,
    /// The children of this batch [default: the root and its children]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub of: Option<u32>,
    /// At most so many batches [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

#[derive(Debug, Args)]
pub struct JobsArgs {
    /// The jobs: ids, or partitions/PARTITION/jobs/JOB
    #[arg(required = true, num_args = 1..=100, value_name = "JOB")]
    pub jobs: Vec<String>,
}

/// What to submit: a job file, flags, or both; flags override the file.
#[derive(Debug, Default, Args)]
pub struct SubmitArgs {
    /// A job as YAML or JSON: a JobSpec, or a CreateJobRequest with `spec` in it; - for stdin
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The job's id [default: a random one]
    #[arg(long)]
    pub id: Option<String>,

    /// The pipe of the task, or of the batch's items
    #[arg(long, help_heading = "Work")]
    pub pipe: Option<String>,
    /// The type of the task, or of the batch's items
    #[arg(long = "type", value_name = "TYPE", help_heading = "Work")]
    pub kind: Option<String>,
    /// Makes the work by a job type, of --parameters
    #[arg(long, value_name = "ID", help_heading = "Work")]
    pub job_type: Option<String>,
    /// A header of the task, or of the batch's items; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, help_heading = "Work")]
    pub header: Vec<(String, String)>,
    /// The task's payload
    #[arg(long, value_name = "TEXT", help_heading = "Work: a task")]
    pub payload: Option<String>,
    /// The task's payload from a file; - for stdin
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "payload",
        help_heading = "Work: a task"
    )]
    pub payload_file: Option<PathBuf>,
    /// The media type of the task's payload
    #[arg(long, value_name = "TYPE", help_heading = "Work: a task")]
    pub content_type: Option<String>,
    /// Makes the job a batch: the splitter that finds its items
    #[arg(long, help_heading = "Work: a batch")]
    pub splitter: Option<String>,
    /// What to split: JSON, or @FILE with JSON in it
    #[arg(long, value_name = "JSON", help_heading = "Work: a batch")]
    pub definition: Option<String>,
    /// Values for the item payload, or for the job type: a JSON object, or @FILE
    #[arg(long, value_name = "JSON", help_heading = "Work: a batch")]
    pub parameters: Option<String>,
    /// The payload of each item, with {{item}} and {{parameters}} in it: JSON, or @FILE
    #[arg(long, value_name = "JSON", help_heading = "Work: a batch")]
    pub item_payload: Option<String>,

    /// A name for people
    #[arg(long, value_name = "TEXT", help_heading = "About the job")]
    pub display_name: Option<String>,
    /// A text for people
    #[arg(long, value_name = "TEXT", help_heading = "About the job")]
    pub description: Option<String>,
    /// A label; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, help_heading = "About the job")]
    pub label: Vec<(String, String)>,

    /// Its priority against other jobs of its pipe, 0 to 9, the highest first [default: 4]
    #[arg(long, help_heading = "How it runs")]
    pub priority: Option<i32>,
    /// How many items may be out at once
    #[arg(long, value_name = "ITEMS", help_heading = "How it runs")]
    pub max_in_flight: Option<i32>,
    /// How many sibling items travel in one message
    #[arg(long, value_name = "ITEMS", help_heading = "How it runs")]
    pub items_per_message: Option<i32>,
    /// So many items may fail before the job counts as failed
    #[arg(
        long,
        value_name = "ITEMS",
        conflicts_with = "max_failed_percent",
        help_heading = "How it runs"
    )]
    pub max_failed: Option<i64>,
    /// So large a part of all items may fail, in percent
    #[arg(long, value_name = "PERCENT", help_heading = "How it runs")]
    pub max_failed_percent: Option<f64>,
    /// What happens once more has failed
    #[arg(long, value_enum, help_heading = "How it runs")]
    pub on_exceeded: Option<OnExceededArg>,
    /// How often an item is tried in all
    #[arg(long, value_name = "TRIES", help_heading = "How it runs")]
    pub max_attempts: Option<i32>,
    /// How long one try of an item may run, such as 90s or 2h
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "How it runs")]
    pub item_timeout: Option<Duration>,
    /// The pipe that receives the result of each done item
    #[arg(long, value_name = "PIPE", help_heading = "How it runs")]
    pub result_pipe: Option<String>,

    /// A job that must be complete first, by its id; it need not exist yet; may be repeated
    #[arg(long, value_name = "JOB", help_heading = "When it runs")]
    pub after: Vec<String>,
    /// As --after, for a job that counts as complete if it does not exist
    #[arg(long, value_name = "JOB", help_heading = "When it runs")]
    pub after_if_exists: Vec<String>,
    /// What becomes of the job when one of them is not completed
    #[arg(long, value_enum, value_name = "POLICY", help_heading = "When it runs")]
    pub on_prerequisite_failure: Option<PrerequisitePolicyArg>,
    /// How long to wait before it starts, such as 90s or 2h, once those are complete
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "not_before", help_heading = "When it runs")]
    pub delay: Option<Duration>,
    /// Before when it does not start, such as 2030-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "When it runs")]
    pub not_before: Option<Timestamp>,
    /// How long the job may take from its start, such as 90s or 2h
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "deadline", help_heading = "When it runs")]
    pub max_duration: Option<Duration>,
    /// When the job is deleted once it is over, such as end+P7D, for one state or for all; may be repeated
    #[arg(long, value_name = "[STATE=]EXPIRY", value_parser = expiry, help_heading = "When it runs")]
    pub retention: Vec<(Option<RetentionState>, String)>,
    /// By when the job must have ended, such as 2030-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "When it runs")]
    pub deadline: Option<Timestamp>,
}

/// A state in which a job is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionState {
    Completed,
    Failed,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrerequisitePolicyArg {
    /// The job fails too
    Fail,
    /// It counts as complete
    RunAnyway,
    /// The job waits until it is complete after all
    Wait,
}

impl From<PrerequisitePolicyArg> for PrerequisitePolicy {
    fn from(policy: PrerequisitePolicyArg) -> Self {
        match policy {
            PrerequisitePolicyArg::Fail => Self::Fail,
            PrerequisitePolicyArg::RunAnyway => Self::RunAnyway,
            PrerequisitePolicyArg::Wait => Self::Wait,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StateArg {
    Waiting,
    Active,
    Paused,
    Completed,
    Failed,
    Cancelled,
}

impl From<StateArg> for JobState {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Waiting => Self::Waiting,
            StateArg::Active => Self::Active,
            StateArg::Paused => Self::Paused,
            StateArg::Completed => Self::Completed,
            StateArg::Failed => Self::Failed,
            StateArg::Cancelled => Self::Cancelled,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnExceededArg {
    /// Every item still runs
    Continue,
    /// The rest is discarded
    Stop,
}

impl From<OnExceededArg> for failure_policy::OnExceeded {
    fn from(action: OnExceededArg) -> Self {
        match action {
            OnExceededArg::Continue => Self::Continue,
            OnExceededArg::Stop => Self::Stop,
        }
    }
}

/// Reads `KEY=VALUE`; the value may contain further `=`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("not of the form KEY=VALUE".to_owned()),
    }
}

/// Reads a duration above zero, such as `500ms`, `90s` or `1h 30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration: SignedDuration = text
        .parse()
        .map_err(|_| "not a duration such as 500ms, 90s or 1h30m".to_owned())?;
    match Duration::try_from(duration) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be above zero".to_owned()),
    }
}

/// Reads an expiry, for one state or for all: `failed=end+P30D`, `none`. The server reads the expiry itself.
pub fn expiry(text: &str) -> Result<(Option<RetentionState>, String), String> {
    let Some((state, expiry)) = text.split_once('=') else {
        return Ok((None, text.to_owned()));
    };
    let state = match state {
        "completed" => RetentionState::Completed,
        "failed" => RetentionState::Failed,
        "cancelled" => RetentionState::Cancelled,
        _ => return Err("the state is none of completed, failed and cancelled".to_owned()),
    };
    Ok((Some(state), expiry.to_owned()))
}

/// Reads a point in time, such as `2030-01-31T08:00:00Z`.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| "not a time such as 2030-01-31T08:00:00Z".to_owned())?;
    Ok(Timestamp {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1m 5s"), Ok(Duration::from_secs(65)));
        for bad in ["", "5", "0s", "-5s", "soon"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_are_read() {
        let day = Timestamp {
            seconds: 86_400,
            nanos: 0,
        };
        assert_eq!(moment("1970-01-02T01:00:00+01:00"), Ok(day));
        for bad in ["", "tomorrow", "2030-01-31", "2030-01-31T08:00:00"] {
            assert!(moment(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn pairs_are_read() {
        assert_eq!(pair("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(pair("a="), Ok(("a".into(), String::new())));
        assert!(pair("a").is_err() && pair("=b").is_err());
    }

    #[test]
    fn globals_may_follow_the_command() -> Result<(), clap::Error> {
        let cli = Cli::try_parse_from([
            "headway", "ls", "--state", "ACTIVE", "-p", "x", "-o", "json",
        ])?;
        assert_eq!(cli.global.partition.as_deref(), Some("x"));
        assert_eq!(cli.global.output, Some(Format::Json));
        Ok(())
    }
}
