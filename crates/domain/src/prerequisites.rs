//! Prerequisites: jobs that must be complete before another starts.

use serde::{Deserialize, Serialize};

use crate::{
    jobs::state::Phase,
    reports::failure::{Failed, code},
    values::{ids::JobId, limits, text::clean},
};

/// A job of the same partition that must end first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Prerequisite {
    /// Its id. It need not exist yet.
    pub job: JobId,
    /// Whether it counts as complete if it does not exist when the job is accepted.
    pub optional: bool,
}

/// What happens to a job when a prerequisite fails, is cancelled, or is deleted before it is
/// complete.
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

/// How a prerequisite ended that was not completed, for the jobs that wait for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenPrerequisite {
    /// The prerequisite.
    pub job: JobId,
    /// How it ended, as a clause: "failed", "was cancelled", "was deleted".
    pub how: String,
    /// The job with the root cause: the prerequisite, or a job that it waited for.
    pub root: String,
    /// The root cause, as `CODE: sentence`; may be empty.
    pub cause: String,
}

/// The first failure of the run in which a prerequisite failed.
#[derive(Debug, Clone, Copy)]
pub struct FirstFailure<'a> {
    /// Its code.
    pub code: &'a str,
    /// Its sentence.
    pub message: &'a str,
    /// Its details.
    pub details: &'a str,
}

impl FirstFailure<'_> {
    /// Whether the job failed because of a prerequisite of its own.
    pub fn is_prerequisite(&self) -> bool {
        self.code == code::PREREQUISITE_FAILED
    }
}

impl BrokenPrerequisite {
    /// The end of a job that failed or was cancelled, with its root cause.
    pub fn new(job: &JobId, phase: Phase, first: Option<FirstFailure<'_>>) -> Self {
        let how = match phase {
            Phase::Failed => "failed",
            Phase::Waiting | Phase::Active | Phase::Completed | Phase::Cancelled => "was cancelled",
        };
        let mut broken = Self {
            job: job.clone(),
            how: how.to_owned(),
            root: job.to_string(),
            cause: String::new(),
        };
        let Some(first) = first else { return broken };
        broken.cause = format!("{}: {}", first.code, first.message);
        // The details are those that `failure` writes.
        if first.is_prerequisite()
            && let Ok(details) = serde_json::from_str::<serde_json::Value>(first.details)
        {
            let text = |field: &str| details[field].as_str().map(ToOwned::to_owned);
            broken.root = text("root").unwrap_or(broken.root);
            broken.cause = text("root_cause").unwrap_or_default();
        }
        broken
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_cause_is_handed_on() {
        let id = |text: &str| JobId::new(text).unwrap();
        let first = FirstFailure {
            code: code::POISON,
            message: "x",
            details: "",
        };
        let b = BrokenPrerequisite::new(&id("a"), Phase::Failed, Some(first));
        assert_eq!((b.root.as_str(), b.cause.as_str()), ("a", "POISON: x"));
        let failure = b.failure();
        let first = FirstFailure {
            code: &failure.code,
            message: &failure.message,
            details: &failure.details,
        };
        let c = BrokenPrerequisite::new(&id("b"), Phase::Failed, Some(first));
        assert_eq!((c.root.as_str(), c.cause.as_str()), ("a", "POISON: x"));
        let cancelled = BrokenPrerequisite::new(&id("c"), Phase::Cancelled, None);
        assert_eq!(
            (cancelled.how.as_str(), cancelled.root.as_str()),
            ("was cancelled", "c")
        );
    }
}
