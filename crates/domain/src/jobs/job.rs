//! A job as a transaction holds it: its phase, its counters, and values derived from them.

use std::sync::Arc;

use super::{
    counts::Counts,
    rate::Rate,
    retention::EndedJob,
    spec::JobSpec,
    state::{JobState, Phase},
    timing::{Deadline, Start},
};
use crate::values::{
    ids::{JobName, JobUid},
    limits,
    time::Micros,
};

/// The part of a job that rarely changes, shared by all that works on the job. Only
/// [`super::update::JobUpdate`] changes some of its spec.
#[derive(Debug, Clone, PartialEq)]
pub struct JobMeta {
    /// The key of its rows.
    pub key: i64,
    /// Its identity.
    pub uid: JobUid,
    /// Its name.
    pub name: JobName,
    /// The logical shard of its reports.
    pub shard: u16,
    /// The spec, without the body.
    pub spec: JobSpec,
    /// Who created it.
    pub creator: String,
    /// When it was accepted.
    pub created: Micros,
    /// How many times its spec was changed.
    pub version: u32,
}

/// A job as a transaction holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The part that rarely changes.
    pub meta: Arc<JobMeta>,
    /// Its state.
    pub phase: Phase,
    /// Whether a client paused it. Never set in a final phase.
    pub paused: bool,
    /// Whether its partition is suspended. Never set in a final phase.
    pub suspended: bool,
    /// How many times it was retried.
    pub run: u32,
    /// Failures of the previous run that this run carries over instead of running them again.
    pub carried: u64,
    /// Rises with every control action.
    pub control: u32,
    /// Rises with every committed change.
    pub revision: i64,
    /// The job's share of its pipe's credit, in items. On a pipe with limits it is 0 until the job
    /// gets a share.
    pub allowance: u32,
    /// How many more items it may send now. Only set for a pipe with a limit per second.
    pub tokens: Option<u32>,
    /// Counters.
    pub counts: Counts,
    /// The highest percentage shown so far, in millionths.
    pub percent_mark: u32,
    /// The measured rate.
    pub rate: Rate,
    /// When the last entry of its progress history was made.
    pub sampled: Option<Micros>,
    /// Prerequisites that are not complete.
    pub waits: u32,
    /// When it starts at the earliest. Set only once all prerequisites are complete.
    pub start_due: Option<Micros>,
    /// When it must have ended. Never set in a final phase.
    pub deadline: Option<Micros>,
    /// The next page number to give out.
    pub next_page: u32,
    /// The next batch number to give out.
    pub next_batch: u32,
    /// When the first work was released.
    pub started: Option<Micros>,
    /// When it last changed.
    pub updated: Micros,
    /// When it ended.
    pub ended: Option<Micros>,
    /// When its last item came back after its end.
    pub settled: Option<Micros>,
    /// When it is deleted. Never set before it is settled.
    pub expires: Option<Micros>,
}

impl Job {
    /// A new job, still without its root batch.
    pub fn new(meta: Arc<JobMeta>, allowance: u32) -> Self {
        let created = meta.created;
        Self {
            meta,
            phase: Phase::Waiting,
            paused: false,
            suspended: false,
            run: 0,
            carried: 0,
            control: 0,
            revision: 0,
            allowance,
            tokens: None,
            counts: Counts::default(),
            percent_mark: 0,
            rate: Rate::default(),
            sampled: None,
            waits: 0,
            start_due: None,
            deadline: None,
            next_page: 1,
            next_batch: 1,
            started: None,
            updated: created,
            ended: None,
            settled: None,
            expires: None,
        }
    }

    /// The state that clients see.
    pub fn state(&self) -> JobState {
        match (self.phase, self.paused) {
            (Phase::Completed, _) => JobState::Completed,
            (Phase::Failed, _) => JobState::Failed,
            (Phase::Cancelled, _) => JobState::Cancelled,
            (Phase::Waiting | Phase::Active, true) => JobState::Paused,
            (Phase::Waiting, false) => JobState::Waiting,
            (Phase::Active, false) => JobState::Active,
        }
    }

    /// The counters as clients see them.
    pub fn visible_counts(&self) -> Counts {
        match self.phase.is_final() {
            true => self.counts.of_ended(),
            false => self.counts.clone(),
        }
    }

    /// Whether work may be released and run.
    pub fn is_running(&self) -> bool {
        !self.parks_items() && !self.phase.is_final() && !self.waits_to_start()
    }

    /// Whether items that come back are parked.
    pub fn parks_items(&self) -> bool {
        self.paused || self.suspended
    }

    /// How many items may be out now: the window, or the smaller share of the pipe.
    pub fn limit(&self) -> u64 {
        u64::from(self.meta.spec.max_in_flight.min(self.allowance))
    }

    /// How many children one page of this job may have: enough to fill the window, so that a
    /// small window does not split far ahead of its work.
    pub fn page_limit(&self) -> u32 {
        self.meta
            .spec
            .max_in_flight
            .clamp(64, limits::MAX_CHILDREN_PER_PAGE)
    }

    /// Whether the job has pages to open again whose items may all be carried over. No report comes
    /// of such pages, so the process that divides the pipe's credit advances the job.
    pub fn is_reopening(&self) -> bool {
        self.carried > 0 && self.counts.reopen > 0
    }

    /// Whether the job has work that a larger share of its pipe would release.
    pub fn wants_credit(&self) -> bool {
        self.is_running()
            && self.counts.unreleased
                + self.counts.parked
                + self.counts.unsplit
                + self.counts.splitting
                + self.counts.reopen
                > 0
    }

    /// How many more items the job may send now, of which it has `out` out.
    pub fn sendable(&self, out: u64) -> u64 {
        let free = self.limit().saturating_sub(out);
        self.tokens
            .map_or(free, |tokens| free.min(u64::from(tokens)))
    }

    /// Whether the job waits for prerequisites or for its time to start.
    pub fn waits_to_start(&self) -> bool {
        self.waits > 0 || self.start_due.is_some()
    }

    /// Sets the start time, now that all prerequisites are complete.
    pub(crate) fn schedule(&mut self, now: Micros) {
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

    /// Sets the deadline of a retry that begins now. A deadline in the past is dropped, because it
    /// would undo every retry.
    pub(crate) fn renew_deadline(&mut self, now: Micros) {
        match self.meta.spec.deadline {
            Deadline::At(time) => self.deadline = Some(time).filter(|time| *time > now),
            Deadline::Never | Deadline::Within(_) => self.set_deadline(now),
        }
    }

    /// When the job is deleted. Only meaningful once the job is settled.
    pub(crate) fn expiry(&self) -> Option<Micros> {
        self.meta.spec.retention.expiry_of(&EndedJob {
            state: self.state(),
            created: self.meta.created,
            updated: self.updated,
            ended: self.ended,
            settled: self.settled,
        })
    }
}

fn micros(ms: u64) -> Micros {
    i64::try_from(ms.saturating_mul(1000)).unwrap_or(i64::MAX)
}
