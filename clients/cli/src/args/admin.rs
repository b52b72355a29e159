//! What is said of pipes, partitions, job types and schedules.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use headway::v1::schedule::OverlapPolicy;

use super::{submit::SubmitArgs, values::*};

#[derive(Debug, Args)]
pub(crate) struct LimitsArgs {
    /// The pipe [default: all pipes with limits]
    #[arg(required_if_eq("none", "true"))]
    pub pipe: Option<String>,
    /// The most items in the pipe and at its workers; 0 for any number
    #[arg(long, value_name = "ITEMS", requires = "pipe")]
    pub max_in_flight: Option<i32>,
    /// The most items sent to it per second; 0 for any number
    #[arg(long, value_name = "ITEMS", requires = "pipe")]
    pub max_per_second: Option<f64>,
    /// Remove all limits
    #[arg(long, conflicts_with_all = ["max_in_flight", "max_per_second"])]
    pub none: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartitionAction {
    /// Hold every job of the partition
    Suspend,
    /// Let the jobs of the partition continue
    Resume,
    /// List all suspended partitions
    ListSuspended,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TypeCommand {
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
    /// Change a job type; jobs that exist do not change
    Update {
        /// The type's id
        id: String,
        /// Its new definition in YAML or JSON; - for stdin
        #[arg(short, long)]
        file: PathBuf,
        /// Refuse the change unless the type has this etag, as `headway -o json type get ID` shows
        /// it [default: any]
        #[arg(long)]
        etag: Option<String>,
    },
    /// Delete a job type; its jobs stay
    #[command(visible_alias = "delete")]
    Rm {
        /// The type's id
        id: String,
    },
    /// Make work from a definition and parameters without a server, and print it
    Test {
        /// The definition in YAML or JSON; - for stdin
        file: PathBuf,
        /// The parameters: a JSON object, or @FILE
        #[arg(long, value_name = "JSON", default_value = "{}")]
        parameters: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Create a schedule: jobs at the times of a cron pattern, from now on
    Create {
        /// The schedule's id
        #[arg(value_name = "ID")]
        schedule_id: String,
        /// When: minute, hour, day, month and weekday, such as '0 3 * * MON-FRI', or a nickname
        /// such as @daily
        #[arg(long)]
        cron: String,
        #[command(flatten)]
        schedule: Box<ScheduleArgs>,
    },
    /// Change a schedule and its future jobs; fields that you do not name stay as they are
    Update {
        /// The schedule's id
        #[arg(value_name = "ID")]
        schedule_id: String,
        /// When: minute, hour, day, month and weekday, such as '0 3 * * MON-FRI', or a nickname
        /// such as @daily
        #[arg(long)]
        cron: Option<String>,
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
    /// Create no jobs until the schedule is resumed
    Pause {
        /// The schedule's id
        id: String,
    },
    /// Create jobs again, from now on
    Resume {
        /// The schedule's id
        id: String,
    },
    /// Create a job now
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
pub(crate) struct ScheduleArgs {
    /// The time zone of the pattern, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// What happens at a time when an earlier job has not ended [default: skip]
    #[arg(long, value_enum)]
    pub overlap: Option<OverlapArg>,
    /// How late a missed time is still made up for, such as 10m or 2h, at least 1s [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub catch_up: Option<Duration>,
    #[command(flatten)]
    pub job: SubmitArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OverlapArg {
    /// Skip the time
    Skip,
    /// The new job waits for the earlier ones; at most one job waits
    Queue,
    /// Cancel the earlier jobs
    CancelPrevious,
    /// The new job runs beside the earlier ones
    Allow,
}

impl From<OverlapArg> for OverlapPolicy {
    fn from(overlap: OverlapArg) -> Self {
        match overlap {
            OverlapArg::Skip => Self::Skip,
            OverlapArg::Queue => Self::Queue,
            OverlapArg::CancelPrevious => Self::CancelPrevious,
            OverlapArg::Allow => Self::Allow,
        }
    }
}
