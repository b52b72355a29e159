//! The row of a job that changes.

use std::sync::Arc;

use headway_domain::{
    Job, JobState,
    jobs::{Counts, JobMeta, Phase, Rate},
};

use crate::{
    db::table::table,
    error::StoreError,
    ground::{
        codes::{Code, codes},
        numbers::{optional, unsigned},
    },
};

table! {
    /// A row of `job_progress`.
    pub(crate) struct ProgressRow as "p";
    const PROGRESS = "job_progress";
    fn progress_cells(job: &Job) {
        let c = &job.counts;
    }
    key job_key: i64 = job.meta.key,
    phase: i64 = job.phase.code(),
    paused: i64 = job.paused,
    suspended: i64 = job.suspended,
    run: i64 = job.run,
    control: i64 = job.control,
    revision: i64 = job.revision,
    allowance: i64 = job.allowance,
    known: i64 = c.known,
    done: i64 = c.done,
    failed: i64 = c.failed,
    discarded: i64 = c.discarded,
    unreleased: i64 = c.unreleased,
    parked: i64 = c.parked,
    delayed: i64 = c.delayed,
    item_rows: i64 = c.item_rows,
    fractions: i64 = c.fractions,
    unsplit: i64 = c.unsplit,
    splitting: i64 = c.splitting,
    open_pages: i64 = c.open,
    retained: i64 = c.retained,
    split_failed: i64 = c.split_failed,
    reopen: i64 = c.reopen,
    declared: i64 = c.declared,
    undeclared: i64 = c.undeclared,
    undeclared_pages: i64 = c.undeclared_pages,
    undeclared_unsplit: i64 = c.undeclared_unsplit,
    failures: i64 = c.failures,
    redriven: i64 = c.redriven,
    percent_mark: i64 = job.percent_mark,
    rate_sampled: i64 = job.rate.sampled,
    rate_ended: i64 = job.rate.ended,
    rate: f64 = job.rate.per_second,
    sampled: i64 = job.sampled,
    waits: i64 = job.waits,
    start_due: i64 = job.start_due,
    deadline: i64 = job.deadline,
    next_page: i64 = job.next_page,
    next_batch: i64 = job.next_batch,
    started: i64 = job.started,
    updated: i64 = job.updated,
    ended: i64 = job.ended,
    settled: i64 = job.settled,
    expires: i64 = job.expires,
    spec_version: i64 = job.meta.version,
    write priority: i64 = job.meta.spec.priority,
    write max_in_flight: i64 = job.meta.spec.max_in_flight,
    tokens: i64 = job.tokens.map_or(-1, i64::from),
    carried: i64 = job.carried,
    write hungry: i64 = job.wants_credit(),
    write live: i64 = liveness(job) as i64,
    write state: i64 = job.state().code(),
    once shard: i64 = job.meta.shard,
    once pipe: String = job.meta.spec.pipe().as_str(),
    once partition_id: String = job.meta.name.partition.as_str(),
}

codes!(Phase, "phase {code} of a job is unknown", {
    Waiting = 1,
    Active = 2,
    Completed = 3,
    Failed = 4,
    Cancelled = 5,
});

codes!(JobState, "state {code} of a job is unknown", {
    Waiting = 1,
    Active = 2,
    Paused = 3,
    Completed = 4,
    Failed = 5,
    Cancelled = 6,
});

/// The states of jobs that have not ended.
pub(crate) const OPEN_STATES: [JobState; 3] =
    [JobState::Waiting, JobState::Active, JobState::Paused];

/// What sweeps have to do with a job, as the column `live` says.
#[derive(Debug, Clone, Copy)]
enum Liveness {
    /// It is over.
    Settled = 0,
    /// Something is to be done about it.
    Live = 1,
    /// It only waits to start, or for its partition.
    Held = 2,
}

/// `live` of jobs that something is to be done about.
pub(crate) const LIVE: i64 = Liveness::Live as i64;
/// `live` of jobs that are over.
pub(crate) const SETTLED: i64 = Liveness::Settled as i64;

/// The items in flight of a job `p`.
pub(crate) const IN_FLIGHT: &str =
    "p.known - p.done - p.failed - p.discarded - p.unreleased - p.parked - p.delayed";

fn liveness(job: &Job) -> Liveness {
    let still = job.counts.in_flight() == 0 && job.counts.splitting == 0;
    match (
        job.settled,
        job.waits_to_start() || (job.suspended && still),
    ) {
        (Some(_), _) => Liveness::Settled,
        (None, true) => Liveness::Held,
        (None, false) => Liveness::Live,
    }
}

impl ProgressRow {
    pub(crate) fn into_job(self, meta: Arc<JobMeta>) -> Result<Job, StoreError> {
        Ok(Job {
            meta,
            phase: Phase::of(self.phase)?,
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
