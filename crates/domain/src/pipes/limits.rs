//! The limits of a pipe.

/// A pipe's limits, for all partitions together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PipeLimits {
    /// Items in the pipe and at its workers at most.
    pub in_flight: Option<u32>,
    /// Items sent to it per second at most, above 0.
    pub per_second: Option<f64>,
}

impl PipeLimits {
    /// Whether there is no limit.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}
