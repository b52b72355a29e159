//! When a job starts, and when it must have ended.

use serde::{Deserialize, Serialize};

use crate::values::time::Micros;

/// When a job starts, once its prerequisites are complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At once.
    #[default]
    AtOnce,
    /// This many milliseconds later.
    After(u64),
    /// Not before this time.
    At(Micros),
}

/// When a job must have ended. After that it fails, and its open items are discarded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deadline {
    /// There is no deadline.
    #[default]
    Never,
    /// This many milliseconds after it started, counted afresh for each run.
    Within(u64),
    /// At this time.
    At(Micros),
}
