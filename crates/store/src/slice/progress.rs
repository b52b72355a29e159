//! The row of a job that changes.

use std::sync::Arc;

use headway_domain::{
    Job, JobState,
    job::{Counts, JobMeta, Phase},
    progress::Rate,
};
use sea_orm::FromQueryResult;

use crate::{
    db::bulk::{Cell, Kind, Table},
    error::StoreError,
    ground::numbers::{optional, unsigned},
};

/// A row of `job_progress`.
#[derive(Debug, FromQueryResult)]
pub(crate) struct ProgressRow {
    pub job_key: i64,
    pub phase: i64,
    pub paused: i64,
    pub suspended: i64,
    pub run: i64,
    pub control: i64,
    pub revision: i64,
    pub allowance: i64,
    pub known: i64,
    pub done: i64,
    pub failed: i64,
    pub discarded: i64,
    pub unreleased: i64,
    pub parked: i64,
    pub delayed: i64,
    pub item_rows: i64,
    pub fractions: i64,
    pub unsplit: i64,
    pub splitting: i64,
    pub open_pages: i64,
    pub retained: i64,
    pub split_failed: i64,
    pub reopen: i64,
    pub declared: i64,
    pub undeclared: i64,
    pub undeclared_pages: i64,
    pub undeclared_unsplit: i64,
    pub failures: i64,
    pub redriven: i64,
    pub percent_mark: i64,
    pub rate_sampled: i64,
    pub rate_ended: i64,
    pub rate: f64,
    pub sampled: i64,
    pub waits: i64,
    pub start_due: i64,
    pub deadline: i64,
    pub next_page: i64,
    pub next_batch: i64,
    pub started: i64,
    pub updated: i64,
    pub ended: i64,
    pub settled: i64,
    pub expires: i64,
    pub spec_version: i64,
    pub tokens: i64,
    pub carried: i64,
}

pub(crate) const PROGRESS: Table = Table {
    name: "job_progress",
    keys: 1,
    insert_only: 3,
    columns: &[
        ("job_key", Kind::Int),
        ("phase", Kind::Int),
        ("paused", Kind::Int),
        ("suspended", Kind::Int),
        ("run", Kind::Int),
        ("control", Kind::Int),
        ("revision", Kind::Int),
        ("allowance", Kind::Int),
        ("known", Kind::Int),
        ("done", Kind::Int),
        ("failed", Kind::Int),
        ("discarded", Kind::Int),
        ("unreleased", Kind::Int),
        ("parked", Kind::Int),
        ("delayed", Kind::Int),
        ("item_rows", Kind::Int),
        ("fractions", Kind::Int),
        ("unsplit", Kind::Int),
        ("splitting", Kind::Int),
        ("open_pages", Kind::Int),
        ("retained", Kind::Int),
        ("split_failed", Kind::Int),
        ("reopen", Kind::Int),
        ("declared", Kind::Int),
        ("undeclared", Kind::Int),
        ("undeclared_pages", Kind::Int),
        ("undeclared_unsplit", Kind::Int),
        ("failures", Kind::Int),
        ("redriven", Kind::Int),
        ("percent_mark", Kind::Int),
        ("rate_sampled", Kind::Int),
        ("rate_ended", Kind::Int),
        ("rate", Kind::Real),
        ("sampled", Kind::Int),
        ("waits", Kind::Int),
        ("start_due", Kind::Int),
        ("deadline", Kind::Int),
        ("next_page", Kind::Int),
        ("next_batch", Kind::Int),
        ("started", Kind::Int),
        ("updated", Kind::Int),
        ("ended", Kind::Int),
        ("settled", Kind::Int),
        ("expires", Kind::Int),
        ("spec_version", Kind::Int),
        ("priority", Kind::Int),
        ("max_in_flight", Kind::Int),
        ("tokens", Kind::Int),
        ("carried", Kind::Int),
        ("hungry", Kind::Int),
        ("live", Kind::Int),
        ("state", Kind::Int),
        ("shard", Kind::Int),
        ("pipe", Kind::Text),
        ("partition_id", Kind::Text),
    ],
};

pub(crate) fn phase_code(phase: Phase) -> i64 {
    match phase {
        Phase::Waiting => 1,
        Phase::Active => 2,
        Phase::Completed => 3,
        Phase::Failed => 4,
        Phase::Cancelled => 5,
    }
}

pub(crate) fn phase(code: i64) -> Result<Phase, StoreError> {
    Ok(match code {
        1 => Phase::Waiting,
        2 => Phase::Active,
        3 => Phase::Completed,
        4 => Phase::Failed,
        5 => Phase::Cancelled,
        _ => {
            return Err(StoreError::Broken(format!(
                "phase {code} of a job is unknown"
            )));
        }
    })
}

/// Stored: never to be changed.
pub(crate) fn state_code(state: JobState) -> i64 {
    match state {
        JobState::Waiting => 1,
        JobState::Active => 2,
        JobState::Paused => 3,
        JobState::Completed => 4,
        JobState::Failed => 5,
        JobState::Cancelled => 6,
    }
}

pub(crate) fn state_of(code: i64) -> Result<JobState, StoreError> {
    Ok(match code {
        1 => JobState::Waiting,
        2 => JobState::Active,
        3 => JobState::Paused,
        4 => JobState::Completed,
        5 => JobState::Failed,
        6 => JobState::Cancelled,
        _ => {
            return Err(StoreError::Broken(format!(
                "state {code} of a job is unknown"
            )));
        }
    })
}

impl ProgressRow {
    pub(crate) fn into_job(self, meta: Arc<JobMeta>) -> Result<Job, StoreError> {
        Ok(Job {
            meta,
            phase: phase(self.phase)?,
            paused: self.paused != 0,
            suspended: self.suspended != 0,
            run: unsigned(self.run)?,
            carried: unsigned(self.carried)?,
            control: unsigned(self.control)?,
            revision: self.revision,
            allowance: unsigned(self.allowance)?,
            tokens: u32::try_from(self.tokens).ok(),
            counts: Counts {
                known: unsigned(self.known)?,
                done: unsigned(self.done)?,
                failed: unsigned(self.failed)?,
                discarded: unsigned(self.discarded)?,
                unreleased: unsigned(self.unreleased)?,
                parked: unsigned(self.parked)?,
                delayed: unsigned(self.delayed)?,
                item_rows: unsigned(self.item_rows)?,
                fractions: unsigned(self.fractions)?,
                unsplit: unsigned(self.unsplit)?,
                splitting: unsigned(self.splitting)?,
                open: unsigned(self.open_pages)?,
                retained: unsigned(self.retained)?,
                split_failed: unsigned(self.split_failed)?,
                reopen: unsigned(self.reopen)?,
                declared: unsigned(self.declared)?,
                undeclared: unsigned(self.undeclared)?,
                undeclared_pages: unsigned(self.undeclared_pages)?,
                undeclared_unsplit: unsigned(self.undeclared_unsplit)?,
                failures: unsigned(self.failures)?,
                redriven: unsigned(self.redriven)?,
            },
            percent_mark: unsigned(self.percent_mark)?,
            rate: Rate {
                sampled: self.rate_sampled,
                ended: unsigned(self.rate_ended)?,
                per_second: self.rate,
            },
            sampled: optional(self.sampled),
            waits: unsigned(self.waits)?,
            start_due: optional(self.start_due),
            deadline: optional(self.deadline),
            next_page: unsigned(self.next_page)?,
            next_batch: unsigned(self.next_batch)?,
            started: optional(self.started),
            updated: self.updated,
            ended: optional(self.ended),
            settled: optional(self.settled),
            expires: optional(self.expires),
        })
    }
}

/// 1 for jobs that something is to be done about, 2 for those that only wait to start, or for their partition, 0 for those
/// that are over.
fn liveness(job: &Job) -> i64 {
    let still = job.counts.in_flight() == 0 && job.counts.splitting == 0;
    match (job.settled, job.is_held() || (job.suspended && still)) {
        (Some(_), _) => 0,
        (None, true) => 2,
        (None, false) => 1,
    }
}

/// The cells of [`PROGRESS`].
pub(crate) fn cells(job: &Job) -> Vec<Cell> {
    let c = &job.counts;
    vec![
        job.meta.key.into(),
        phase_code(job.phase).into(),
        job.paused.into(),
        job.suspended.into(),
        job.run.into(),
        job.control.into(),
        job.revision.into(),
        job.allowance.into(),
        c.known.into(),
        c.done.into(),
        c.failed.into(),
        c.discarded.into(),
        c.unreleased.into(),
        c.parked.into(),
        c.delayed.into(),
        c.item_rows.into(),
        c.fractions.into(),
        c.unsplit.into(),
        c.splitting.into(),
        c.open.into(),
        c.retained.into(),
        c.split_failed.into(),
        c.reopen.into(),
        c.declared.into(),
        c.undeclared.into(),
        c.undeclared_pages.into(),
        c.undeclared_unsplit.into(),
        c.failures.into(),
        c.redriven.into(),
        job.percent_mark.into(),
        job.rate.sampled.into(),
        job.rate.ended.into(),
        job.rate.per_second.into(),
        job.sampled.into(),
        job.waits.into(),
        job.start_due.into(),
        job.deadline.into(),
        job.next_page.into(),
        job.next_batch.into(),
        job.started.into(),
        job.updated.into(),
        job.ended.into(),
        job.settled.into(),
        job.expires.into(),
        job.meta.version.into(),
        job.meta.spec.priority.into(),
        job.meta.spec.max_in_flight.into(),
        job.tokens.map_or(-1, i64::from).into(),
        job.carried.into(),
        job.is_hungry().into(),
        liveness(job).into(),
        state_code(job.state()).into(),
        job.meta.shard.into(),
        job.meta.spec.pipe().as_str().into(),
        job.meta.name.partition.as_str().into(),
    ]
}
