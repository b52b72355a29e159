//! What is said of jobs and what belongs to them.

use clap::{Args, ValueEnum};
use headway::v1::{EventKind, JobAction};

use super::{submit::OnExceededArg, values::*};

/// Which failures are meant.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FailureArgs {
    /// Only failures with this code; may be repeated
    #[arg(long)]
    pub code: Vec<String>,
    /// Only failures in this batch and the batches below it; may be repeated
    #[arg(long, value_name = "NUMBER")]
    pub batch: Vec<u32>,
    /// Only the failure of this item, such as 3-17; may be repeated
    #[arg(long)]
    pub item: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeadAction {
    /// Send these items to their pipes again, also while their jobs run
    Redrive,
    /// Forget their messages; their items stay failed
    Drop,
}

#[derive(Debug, Args)]
pub(crate) struct DeadArgs {
    /// Only dead letters of this pipe
    #[arg(long)]
    pub pipe: Option<String>,
    /// Only dead letters of the job with this id
    #[arg(long)]
    pub job: Option<String>,
    /// Drop the dead letters of all jobs of the partition
    #[arg(long, conflicts_with_all = ["pipe", "job"])]
    pub all: bool,
    /// The most dead letters to list [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args(
    ["label", "no_labels", "description", "priority", "max_in_flight", "max_failed", "max_failed_percent", "on_exceeded", "retention"],
))]
pub(crate) struct UpdateArgs {
    /// Add or change a label; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub label: Vec<(String, String)>,
    /// Remove the labels that the job has
    #[arg(long)]
    pub no_labels: bool,
    /// A text for people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// The priority, 0 to 9, the highest first
    #[arg(long)]
    pub priority: Option<i32>,
    /// The most items in flight at once
    #[arg(long, value_name = "ITEMS")]
    pub max_in_flight: Option<i32>,
    /// How many items may fail before the job counts as failed
    #[arg(long, value_name = "ITEMS", conflicts_with = "max_failed_percent")]
    pub max_failed: Option<i64>,
    /// The same as a part of all items, in percent
    #[arg(long, value_name = "PERCENT")]
    pub max_failed_percent: Option<f64>,
    /// What happens when more items have failed
    #[arg(long, value_enum)]
    pub on_exceeded: Option<OnExceededArg>,
    /// When to delete the job after its end, such as end+P7D, for one final state or for all; may
    /// be repeated
    #[arg(long, value_name = "[STATE=]EXPIRY", value_parser = expiry)]
    pub retention: Vec<(Option<RetentionState>, String)>,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["filter", "all"]))]
pub(crate) struct BulkArgs {
    /// What to do with the jobs
    #[arg(value_enum)]
    pub action: BulkActionArg,
    /// Jobs that match this filter, such as 'state = FAILED AND labels.team = blue'
    #[arg(long)]
    pub filter: Option<String>,
    /// All jobs of the partition
    #[arg(long)]
    pub all: bool,
    /// Only say how many jobs match; change nothing
    #[arg(long)]
    pub validate_only: bool,
    /// Wait until all jobs are changed
    #[arg(long, conflicts_with = "validate_only")]
    pub wait: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BulkActionArg {
    /// Pause jobs that have not ended
    Pause,
    /// Resume paused jobs
    Resume,
    /// Cancel jobs that have not ended
    Cancel,
    /// Retry jobs that failed or were cancelled
    Retry,
    /// Delete jobs in any state
    Delete,
}

impl From<BulkActionArg> for JobAction {
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
pub(crate) struct EventsArgs {
    /// The job: its id, or partitions/PARTITION/jobs/JOB [default: all jobs of the partition]
    pub job: Option<String>,
    /// Print events from now on, or after CURSOR, until interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// Only events of this kind, such as job-created, job-failed or schedule-paused; may be
    /// repeated [default: all]
    #[arg(long, value_name = "KIND", value_parser = event_kind)]
    pub kind: Vec<EventKind>,
    /// Only events after this cursor [default: from the earliest]
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<String>,
    /// The most events to print [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct BatchesArgs {
    /// The job: its id, or partitions/PARTITION/jobs/JOB
    pub job: String,
    /// The children of this batch [default: the root and its children]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub of: Option<u32>,
    /// The most batches to print [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    /// The jobs: ids, or partitions/PARTITION/jobs/JOB
    #[arg(required = true, num_args = 1..=100, value_name = "JOB")]
    pub jobs: Vec<String>,
}
