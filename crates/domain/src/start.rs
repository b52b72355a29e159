//! When a job may start, and by when it must have ended: prerequisites, start times and deadlines.

use serde::{Deserialize, Serialize};

use crate::{
    Micros,
    effect::{Failed, clean, code},
    ids::JobId,
    job::{Job, Phase},
    limits,
    slice::JobSlice,
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
    fn failure(&self) -> Failed {
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
            "root_cause": clean(&self.cause, limits::TEXT_BYTES),
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

fn micros(ms: u64) -> Micros {
    i64::try_from(ms.saturating_mul(1000)).unwrap_or(i64::MAX)
}

impl Job {
    /// Whether the job waits for prerequisites or for its time to start.
    pub fn is_held(&self) -> bool {
        self.waits > 0 || self.start_due.is_some()
    }

    /// Sets the time to start, now that nothing else is waited for.
    fn schedule(&mut self, now: Micros) {
        let due = match self.meta.spec.start {
            Start::AtOnce => return,
            Start::After(ms) => now.saturating_add(micros(ms)),
            Start::At(time) => time,
        };
        self.start_due = Some(due).filter(|due| *due > now);
    }

    /// Sets the deadline of a run that starts now.
    pub(crate) fn set_deadline(&mut self, now: Micros) {
        if let Deadline::Within(ms) = self.meta.spec.deadline {
            self.deadline = Some(now.saturating_add(micros(ms)));
        }
    }
}

impl JobSlice {
    /// What a new job waits for, apart from prerequisites.
    pub(crate) fn set_times(&mut self) {
        let now = self.moment.now;
        self.job.schedule(now);
        if let Deadline::At(time) = self.job.meta.spec.deadline {
            self.job.deadline = Some(time);
        }
    }

    /// Lets the job wait for so many prerequisites before it starts, or starts again.
    pub fn wait_for(&mut self, prerequisites: u32) {
        if prerequisites == 0 || self.job.phase.is_final() {
            return;
        }
        self.changed = true;
        self.job.phase = Phase::Waiting;
        self.job.waits = prerequisites;
        self.job.start_due = None;
    }

    /// So many prerequisites are complete.
    pub fn prerequisites_met(&mut self, count: u32) {
        if count == 0 || self.job.waits == 0 {
            return;
        }
        self.changed = true;
        self.job.waits = self.job.waits.saturating_sub(count);
        if self.job.waits == 0 {
            let now = self.moment.now;
            self.job.schedule(now);
        }
    }

    /// A prerequisite will not be complete, and the job is not to run without it.
    pub fn prerequisite_broken(&mut self, broken: &Broken) {
        if self.job.waits == 0 || self.job.phase.is_final() {
            return;
        }
        let failure = broken.failure();
        let message = failure.message.clone();
        self.record_job_failure(failure);
        self.end_because(Phase::Failed, &message);
    }

    /// Starts the job if its time has come.
    pub fn fire_start(&mut self) {
        if self.job.start_due.is_some_and(|due| due <= self.moment.now) {
            self.changed = true;
            self.job.start_due = None;
        }
    }

    /// Ends the job if its deadline has passed.
    pub fn fire_deadline(&mut self) {
        let passed = self
            .job
            .deadline
            .is_some_and(|deadline| deadline <= self.moment.now);
        if !passed || self.job.phase.is_final() {
            return;
        }
        let open = self.job.counts.open_items();
        let message = format!("the job had not ended by its deadline; {open} items were open");
        self.record_job_failure(Failed::lasting(code::DEADLINE_EXCEEDED, &message));
        self.end_because(Phase::Failed, &message);
        self.control(crate::effect::Disposition::Discard);
    }
}
