//! Prerequisites: jobs that must be complete before another starts.

use serde::{Deserialize, Serialize};

use crate::{
    reports::failure::{Failed, code},
    values::{ids::JobId, limits, text::clean},
};

/// A job of the same partition that must end first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Prerequisite {
    /// Its id. It need not exist yet.
    pub job: JobId,
    /// Whether it counts as complete where it does not exist when the job is accepted.
    pub optional: bool,
}

/// What becomes of a job when a prerequisite fails, is cancelled, or is deleted before it is complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnPrerequisiteFailure {
    /// It fails too.
    #[default]
    Fail,
    /// It counts as complete.
    RunAnyway,
    /// The job waits until it is complete after all.
    Wait,
}

/// What a prerequisite ended in, for those that wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The prerequisite.
    pub job: JobId,
    /// How it ended, as a clause: "failed", "was cancelled", "was deleted".
    pub how: String,
    /// The job where the trouble began: the prerequisite, or one of those that it waited for.
    pub root: String,
    /// What went wrong there, as `CODE: sentence`; may be empty.
    pub cause: String,
}

impl Broken {
    /// The failure of a job that cannot run because of it.
    pub(crate) fn failure(&self) -> Failed {
        let own = self.root == self.job.as_str();
        let root = if own {
            String::new()
        } else {
            format!(" because of job {}", self.root)
        };
        let cause = if self.cause.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.cause)
        };
        let details = serde_json::json!({
            "prerequisite": self.job.as_str(),
            "root": self.root,
            "root_cause": clean(&self.cause, limits::MAX_TEXT_BYTES),
        });
        Failed {
            retryable: false,
            code: code::PREREQUISITE_FAILED.to_owned(),
            message: format!("prerequisite {} {}{root}{cause}", self.job, self.how),
            details: details.to_string(),
        }
        .cleaned()
    }
}
