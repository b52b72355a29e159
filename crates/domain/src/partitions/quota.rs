//! Quotas of a partition.

use std::fmt;

/// Quotas of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Jobs that have not ended.
    OpenJobs,
    /// Items in pipes and at workers.
    InFlight,
}

impl Quota {
    /// Its field in the partition.
    pub fn field(self) -> &'static str {
        match self {
            Self::OpenJobs => "max_open_jobs",
            Self::InFlight => "max_items_in_flight",
        }
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenJobs => "jobs that have not ended",
            Self::InFlight => "items in pipes and at workers",
        })
    }
}
