//! The share of a partition in pipes that others use too.

/// A partition's share of pipes that it shares with other partitions, and its quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionShare {
    /// Its weight against other partitions, 1 to [`crate::limits::MAX_WEIGHT`].
    pub weight: u32,
    /// Jobs that have not ended, at most.
    pub open_jobs: Option<u32>,
    /// Items in pipes and at workers, at most.
    pub in_flight: Option<u32>,
}

impl Default for PartitionShare {
    fn default() -> Self {
        Self {
            weight: 1,
            open_jobs: None,
            in_flight: None,
        }
    }
}
