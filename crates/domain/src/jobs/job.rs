//! The row of a job that changes: its phase, its counters, and what is derived from them.

use std::{fmt, sync::Arc};

use crate::{
    Micros,
    ids::{JobName, JobUid},
    limits,
    progress::Rate,
    spec::JobSpec,
};

/// What clients see of a job's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Accepted; nothing of it was released yet.
    Waiting,
    /// Being split and worked on.
    Active,
    /// Held by a client.
    Paused,
    /// Ended within its failure policy.
    Completed,
    /// Ended outside its failure policy.
    Failed,
    /// Ended by a client.
    Cancelled,
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "WAITING",
            Self::Active => "ACTIVE",
            Self::Paused => "PAUSED",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        })
    }
}

/// Where a job is in its life, apart from being paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing of it was released yet.
    Waiting,
    /// Being worked on.
    Active,
    /// Ended within its failure policy.
    Completed,
    /// Ended outside its failure policy, or stopped by it.
    Failed,
    /// Ended by a client.
    Cancelled,
}

impl Phase {
    /// Whether only RetryJob leads out of it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What hardly ever changes about a job, shared by everything that works on it: only [`crate::update`] changes some of its spec.
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
    /// How often its spec was changed.
    pub version: u32,
}

/// Counters of a job. Items: `done + failed + discarded + open = known`, where the open ones are
/// unreleased, parked, delayed, or in flight.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items found.
    pub known: u64,
    /// Items that ended well.
    pub done: u64,
    /// Items that failed in the present run.
    pub failed: u64,
    /// Items that were dropped in the present run.
    pub discarded: u64,
    /// Open items that were never sent in the present run.
    pub unreleased: u64,
    /// Open items set aside while the job was paused.
    pub parked: u64,
    /// Open items that wait for their next attempt.
    pub delayed: u64,
    /// Rows of items in an exceptional state.
    pub item_rows: u64,
    /// Sum of the fractions of running items, in millionths of an item.
    pub fractions: u64,
    /// Pages that may be split.
    pub unsplit: u64,
    /// Pages that batch workers were asked to split.
    pub splitting: u64,
    /// Pages with open children.
    pub open: u64,
    /// Finished pages that are kept because of what failed or was discarded in them.
    pub retained: u64,
    /// Pages that could not be split in the present run.
    pub split_failed: u64,
    /// Pages of an earlier run that are to be opened again.
    pub reopen: u64,
    /// Exact items of batches whose size was known beforehand.
    pub declared: u64,
    /// Items found in batches whose size was not known.
    pub undeclared: u64,
    /// Pages split in batches whose size was not known.
    pub undeclared_pages: u64,
    /// Pages yet to be split in batches whose size was not known.
    pub undeclared_unsplit: u64,
    /// Failures recorded in the present run: failed items and batches that could not be split.
    pub failures: u64,
    /// Those of them that were taken back, because their items are run again.
    pub redriven: u64,
}

impl Counts {
    /// Failures of the present run that stand.
    pub fn standing_failures(&self) -> u64 {
        self.failures.saturating_sub(self.redriven)
    }

    /// Items without an outcome.
    pub fn open_items(&self) -> u64 {
        self.known
            .saturating_sub(sum([self.done, self.failed, self.discarded]))
    }

    /// Open items that are in pipes, at workers, or leased.
    pub fn in_flight(&self) -> u64 {
        self.open_items()
            .saturating_sub(sum([self.unreleased, self.parked, self.delayed]))
    }

    /// Items that the window bounds: in flight, delayed or parked.
    pub fn out(&self) -> u64 {
        self.open_items().saturating_sub(self.unreleased)
    }

    /// The counters of a job that has ended, as clients see them: its open items that are not out never run, so they count as
    /// discarded. Items that are still at workers stay open until they are reported.
    fn of_ended(&self) -> Self {
        let in_flight = self.in_flight();
        Self {
            discarded: self.discarded + self.open_items().saturating_sub(in_flight),
            unreleased: 0,
            parked: 0,
            delayed: 0,
            ..self.clone()
        }
    }

    /// Pages that have work left in this run.
    pub fn live_pages(&self) -> u64 {
        self.unsplit + self.splitting + self.open + self.reopen
    }
}

fn sum(parts: [u64; 3]) -> u64 {
    parts.into_iter().fold(0, u64::saturating_add)
}

/// A job as a transaction holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What hardly ever changes.
    pub meta: Arc<JobMeta>,
    /// Where it is in its life.
    pub phase: Phase,
    /// Whether a client holds it. Never set in a final phase.
    pub paused: bool,
    /// Whether its partition is suspended. Never set in a final phase.
    pub suspended: bool,
    /// How often it was retried.
    pub run: u32,
    /// Failures of the run before that were not to be run again, and count in this one.
    pub carried: u64,
    /// Rises with every control action.
    pub control: u32,
    /// Rises with every committed change.
    pub revision: i64,
    /// The job's share of its pipe's credit, in items; 0 until it has one of a pipe with limits.
    pub allowance: u32,
    /// How many more items it may send to a pipe that takes only so many a second.
    pub tokens: Option<u32>,
    /// Counters.
    pub counts: Counts,
    /// The highest percentage shown, in millionths of the whole.
    pub percent_mark: u32,
    /// The measured rate.
    pub rate: Rate,
    /// When the history of its progress was last added to.
    pub sampled: Option<Micros>,
    /// Prerequisites that are not complete.
    pub waits: u32,
    /// Before when it does not start. Set only once nothing else is waited for.
    pub start_due: Option<Micros>,
    /// By when it must have ended. Never set in a final phase.
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
    /// When nothing of it ran any more after the end.
    pub settled: Option<Micros>,
    /// When it is deleted. Never set before it is settled.
    pub expires: Option<Micros>,
}

impl Job {
    /// A new job with its root batch yet to be added.
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
        !self.sets_aside() && !self.phase.is_final() && !self.is_held()
    }

    /// Whether items that come back are set aside.
    pub fn sets_aside(&self) -> bool {
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
            .clamp(64, limits::PAGE_CHILDREN)
    }

    /// Whether pages are to be opened again of which all may be carried: then nothing of them is sent that would come back, and whoever
    /// shares out the pipe advances the job.
    pub fn is_reopening(&self) -> bool {
        self.carried > 0 && self.counts.reopen > 0
    }

    /// Whether the job has work that a larger share of its pipe would release.
    pub fn is_hungry(&self) -> bool {
        self.is_running()
            && self.counts.unreleased
                + self.counts.parked
                + self.counts.unsplit
                + self.counts.splitting
                + self.counts.reopen
                > 0
    }
}
