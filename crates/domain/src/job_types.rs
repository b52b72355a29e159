//! Job types, as far as a job refers to them.

use serde::{Deserialize, Serialize};

/// A job type and its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TypeUse {
    /// The type.
    pub name: String,
    /// The version that made the work.
    pub version: String,
    /// The parameters.
    pub parameters: serde_json::Value,
}
