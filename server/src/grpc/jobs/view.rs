//! Jobs and failures as the wire has them.

use std::time::{SystemTime, UNIX_EPOCH};

use headway::v1;
use headway_domain::{
    Job, JobName, JobState, Micros,
    jobs::{JobSpec, expected},
};
use headway_store::{FailureRow, JobView, StoreError};

use crate::grpc::{
    spec::{self, waiting},
    status::ApiError,
    values::{int, nanos, narrow, timestamp},
};

/// A job that the store read with its body, as most methods answer with it.
///
/// # Errors
/// As [`full`].
pub(crate) fn whole(view: JobView) -> Result<v1::Job, ApiError> {
    let body = view.body.as_deref().unwrap_or_default();
    Ok(full(&view, body)?)
}

/// A job without its task's payload or batch's definition, as lists and watches show it.
pub(crate) fn brief(view: &JobView) -> v1::Job {
    job(view, spec::summary(&view.job.meta.spec))
}

/// A job as lists and watches of many jobs show it: as [`brief`], and without failures.
pub(crate) fn listed(view: &JobView) -> v1::Job {
    v1::Job {
        failure_sample: Vec::new(),
        ..brief(view)
    }
}

/// Which job it is and how it is, without what it is to do.
pub(crate) fn named(view: &JobView) -> v1::Job {
    v1::Job {
        spec: None,
        ..job(view, v1::JobSpec::default())
    }
}

/// A job with everything that its client sent.
///
/// # Errors
/// [`StoreError::Broken`] if the stored body is not what this version writes.
pub(crate) fn full(view: &JobView, body: &[u8]) -> Result<v1::Job, StoreError> {
    let mut wire = spec::stored(&view.job.meta.spec, body)?;
    wire.prerequisites = view
        .prerequisites
        .iter()
        .map(|prerequisite| waiting::wire_prerequisite(&view.job.meta.name.partition, prerequisite))
        .collect();
    Ok(job(view, wire))
}

/// The job that a request would create.
///
/// # Errors
/// As [`full`].
pub(crate) fn rehearsed(
    name: &JobName,
    checked: &JobSpec,
    created_by: String,
) -> Result<v1::Job, StoreError> {
    Ok(v1::Job {
        name: name.to_string(),
        spec: Some(spec::requested(&name.partition, checked)?),
        state: state(JobState::Waiting).into(),
        progress: Some(v1::JobProgress::default()),
        created_by,
        ..v1::Job::default()
    })
}

fn job(view: &JobView, spec: v1::JobSpec) -> v1::Job {
    let job = &view.job;
    v1::Job {
        name: job.meta.name.to_string(),
        uid: job.meta.uid.to_string(),
        spec: Some(spec),
        state: state(job.state()).into(),
        progress: Some(progress(job, now())),
        revision: job.revision,
        run: narrow(job.run),
        create_time: Some(timestamp(job.meta.created)),
        start_time: job.started.map(timestamp),
        update_time: Some(timestamp(job.updated)),
        end_time: job.ended.map(timestamp),
        settled_time: job.settled.map(timestamp),
        failure_sample: view.failures.iter().map(failure).collect(),
        failure_count: int(job.counts.standing_failures()),
        created_by: job.meta.creator.clone(),
        open_prerequisite_count: narrow(job.waits),
        start_due_time: job.start_due.map(timestamp),
        deadline_time: job.deadline.map(timestamp),
        suspended: job.suspended,
        expire_time: job.expires.map(timestamp),
    }
}

pub(crate) fn state(state: JobState) -> v1::JobState {
    match state {
        JobState::Waiting => v1::JobState::Waiting,
        JobState::Active => v1::JobState::Active,
        JobState::Paused => v1::JobState::Paused,
        JobState::Completed => v1::JobState::Completed,
        JobState::Failed => v1::JobState::Failed,
        JobState::Cancelled => v1::JobState::Cancelled,
    }
}

fn progress(job: &Job, now: Micros) -> v1::JobProgress {
    let counts = job.visible_counts();
    let (items_expected, total_final) = expected(&counts);
    v1::JobProgress {
        items_known: int(counts.known),
        items_expected: int(items_expected),
        total_final,
        items_done: int(counts.done),
        items_failed: int(counts.failed),
        items_discarded: int(counts.discarded),
        items_open: int(counts.open_items()),
        items_in_flight: int(counts.in_flight()),
        items_parked: int(counts.parked),
        items_delayed: int(counts.delayed),
        split_failure_count: int(counts.split_failed),
        percentage: job.percentage(),
        items_per_second: job.items_per_second(now),
        estimated_time_left: job.time_left(now).map(|left| prost_types::Duration {
            seconds: left.max(0) / 1_000_000,
            nanos: nanos(left.max(0)),
        }),
    }
}

/// A recorded failure.
pub(crate) fn failure(row: &FailureRow) -> v1::Failure {
    let item = match row.idx {
        -2 => String::new(),
        -1 => row.page.to_string(),
        index => format!("{}-{index}", row.page),
    };
    v1::Failure {
        item,
        code: row.code.clone(),
        message: row.message.clone(),
        details: row.details.clone(),
        attempt: narrow(row.attempt),
        run: narrow(row.run),
        record_time: Some(timestamp(row.recorded)),
        worker: row.worker.clone(),
    }
}

/// Our clock; the database's, by which rates are measured, is close to it.
fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
    })
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
