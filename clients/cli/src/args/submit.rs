//! What is said of a job that is submitted.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use headway::v1::{PrerequisitePolicy, failure_policy};
use prost_types::Timestamp;

use super::values::*;

/// What to submit: a job file, flags, or both; flags override the file.
#[derive(Debug, Default, Args)]
pub(crate) struct SubmitArgs {
    /// A job in YAML or JSON: a JobSpec, a CreateJobRequest with `spec`, or the output of
    /// `get -o yaml`; - for stdin
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
    /// The job type that makes the work from --parameters
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
    /// The splitter that finds the items; makes the job a batch
    #[arg(long, help_heading = "Work: a batch")]
    pub splitter: Option<String>,
    /// What to split: JSON, or @FILE with JSON
    #[arg(long, value_name = "JSON", help_heading = "Work: a batch")]
    pub definition: Option<String>,
    /// Values for the item payload, or for the job type: a JSON object, or @FILE
    #[arg(long, value_name = "JSON", help_heading = "Work: a batch")]
    pub parameters: Option<String>,
    /// The template of each item's payload, with {{item}} and {{parameters}}: JSON, or @FILE
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

    /// The priority among the jobs of its pipe, 0 to 9, the highest first [default: 4]
    #[arg(long, help_heading = "How it runs")]
    pub priority: Option<i32>,
    /// The most items in flight at once
    #[arg(long, value_name = "ITEMS", help_heading = "How it runs")]
    pub max_in_flight: Option<i32>,
    /// How many items travel in one message
    #[arg(long, value_name = "ITEMS", help_heading = "How it runs")]
    pub items_per_message: Option<i32>,
    /// How many items may fail before the job counts as failed
    #[arg(
        long,
        value_name = "ITEMS",
        conflicts_with = "max_failed_percent",
        help_heading = "How it runs"
    )]
    pub max_failed: Option<i64>,
    /// The same as a part of all items, in percent
    #[arg(long, value_name = "PERCENT", help_heading = "How it runs")]
    pub max_failed_percent: Option<f64>,
    /// What happens when more items have failed
    #[arg(long, value_enum, help_heading = "How it runs")]
    pub on_exceeded: Option<OnExceededArg>,
    /// How many times an item is tried in total
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
    /// Like --after, but the job counts as complete if it does not exist
    #[arg(long, value_name = "JOB", help_heading = "When it runs")]
    pub after_if_exists: Vec<String>,
    /// What happens to the job if one of them fails, is cancelled or is deleted
    #[arg(long, value_enum, value_name = "POLICY", help_heading = "When it runs")]
    pub on_prerequisite_failure: Option<PrerequisitePolicyArg>,
    /// How long to wait before the job starts, such as 90s, 2h or 1d, once those jobs are complete
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "not_before", help_heading = "When it runs")]
    pub delay: Option<Duration>,
    /// The earliest start, such as 2030-01-31T08:00:00Z, or 2030-01-31T08:00 or 2030-01-31 in the
    /// local zone
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "When it runs")]
    pub not_before: Option<Timestamp>,
    /// The longest time from the start of the job to its end, such as 90s, 2h or 1d
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "deadline", help_heading = "When it runs")]
    pub max_duration: Option<Duration>,
    /// When to delete the job after its end, such as end+P7D, for one final state or for all; may
    /// be repeated
    #[arg(long, value_name = "[STATE=]EXPIRY", value_parser = expiry, help_heading = "When it runs")]
    pub retention: Vec<(Option<RetentionState>, String)>,
    /// The time by which the job must have ended, in the forms of --not-before
    #[arg(long, value_name = "TIME", value_parser = moment, help_heading = "When it runs")]
    pub deadline: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrerequisitePolicyArg {
    /// The job fails too
    Fail,
    /// The prerequisite counts as complete
    RunAnyway,
    /// The job waits until the prerequisite is complete after all
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
pub enum OnExceededArg {
    /// All items still run
    Continue,
    /// Discard the remaining items
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
