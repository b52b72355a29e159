//! What is said of pipes, partitions, job types and schedules.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use headway::v1::schedule::OverlapPolicy;

use super::{submit::SubmitArgs, values::*};

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PartitionAction {
    /// Hold every job of the partition
    Suspend,
    /// Let its jobs go on
    Resume,
    /// List the partitions that are suspended, this one or others
    ListSuspended,
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
        /// When: minute, hour, day, month and weekday, such as '0 3 * * MON-FRI', or a nickname such as @daily
        #[arg(long)]
        cron: String,
        #[command(flatten)]
        schedule: Box<ScheduleArgs>,
    },
    /// Change a schedule, for the jobs that it makes from then on: what is not said stays as it is
    Update {
        /// The schedule's id
        #[arg(value_name = "ID")]
        schedule_id: String,
        /// When: minute, hour, day, month and weekday, such as '0 3 * * MON-FRI', or a nickname such as @daily
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
    /// The time zone of the pattern, such as Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// What happens when a time comes while the job of an earlier one has not ended [default: skip]
    #[arg(long, value_enum)]
    pub overlap: Option<OverlapArg>,
    /// How late a time is still dealt with that was missed, such as 10m or 2h, at least 1s [default: 1m]
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
    /// The jobs before are cancelled
    CancelPrevious,
    /// The new job runs beside the others
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
