//! How much of a job may fail.

use serde::{Deserialize, Serialize};

/// When a job counts as failed, and what happens then.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FailurePolicy {
    /// How much may fail.
    pub tolerance: Tolerance,
    /// Whether the job stops as soon as more has failed.
    pub stop: bool,
}

/// How much may fail before a job counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// This many items.
    Items(u64),
    /// This part of all items, in percent above 0 and up to 100.
    Percentage(f64),
}

impl Default for FailurePolicy {
    fn default() -> Self {
        Self {
            tolerance: Tolerance::Items(0),
            stop: false,
        }
    }
}

impl FailurePolicy {
    /// Whether `failed` of `total` items are more than is tolerated.
    pub fn exceeded(&self, failed: u64, total: u64) -> bool {
        match self.tolerance {
            Tolerance::Items(most) => failed > most,
            Tolerance::Percentage(percent) => failed as f64 * 100.0 > percent * total as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerance_is_a_limit_not_a_target() {
        let ten_percent = FailurePolicy {
            tolerance: Tolerance::Percentage(10.0),
            stop: false,
        };
        assert!(!ten_percent.exceeded(10, 100));
        assert!(ten_percent.exceeded(11, 100));
        assert!(FailurePolicy::default().exceeded(1, 100));
    }
}
