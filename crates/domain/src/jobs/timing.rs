//! When a job starts, and by when it must have ended.

use serde::{Deserialize, Serialize};

use crate::values::time::Micros;

/// When a job starts, once its prerequisites are complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// At once.
    #[default]
    AtOnce,
    /// So many milliseconds later.
    After(u64),
    /// Not before this time.
    At(Micros),
}

/// By when a job must have ended; after that it fails and what is left of it is dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deadline {
    /// It may take as long as it takes.
    #[default]
    Never,
    /// So many milliseconds after it started, anew for each run.
    Within(u64),
    /// At this time.
    At(Micros),
}
