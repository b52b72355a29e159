//! What is said of jobs and what belongs to them.

use clap::{Args, ValueEnum};
use headway::v1::{EventKind, JobAction};

use super::{submit::OnExceededArg, values::*};

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
    /// Send these items to their pipes again, also while their jobs run
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
    /// Drop those of all jobs of the partition
    #[arg(long, conflicts_with_all = ["pipe", "job"])]
    pub all: bool,
    /// At most so many when they are listed [default: all]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
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
pub struct EventsArgs {
    /// The job: its id, or partitions/PARTITION/jobs/JOB [default: all of the partition]
    pub job: Option<String>,
    /// Tell of events from now on, or after CURSOR, until it is interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// Only events of this kind, such as created, failed or failure-recorded; may be repeated [default: all]
    #[arg(long, value_name = "KIND", value_parser = event_kind)]
    pub kind: Vec<EventKind>,
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
