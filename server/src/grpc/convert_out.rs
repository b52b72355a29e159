//! Jobs and failures as the wire has them.

use std::time::{SystemTime, UNIX_EPOCH};

use headway::v1;
use headway_domain::{
    Job, JobName, JobState, Micros,
    progress::expected,
    spec::{BatchSpec, FailurePolicy, JobSpec, RetryPolicy, TaskSpec, Tolerance, Work},
};
use headway_splitters::Definition;
use headway_store::{FailureRow, JobView, StoreError};
use prost_types::{Duration as WireDuration, Timestamp};
use serde_json::Value as Json;

use super::{job_types, json, retention, waiting};

/// A job without its task's payload or batch's definition, as lists and watches show it.
pub(super) fn brief(view: &JobView) -> v1::Job {
    job(view, spec(&view.job.meta.spec))
}

/// A job as lists and watches of many jobs show it: as [`brief`], and without failures.
pub(super) fn listed(view: &JobView) -> v1::Job {
    v1::Job {
        failure_sample: Vec::new(),
        ..brief(view)
    }
}

/// Which job it is and how it is, without what it is to do.
pub(super) fn named(view: &JobView) -> v1::Job {
    v1::Job {
        spec: None,
        ..job(view, v1::JobSpec::default())
    }
}

/// A job with everything that its client sent.
///
/// # Errors
/// [`StoreError::Broken`] if the stored body is not what this version writes.
pub(super) fn full(view: &JobView, body: &[u8]) -> Result<v1::Job, StoreError> {
    let mut wire = spec(&view.job.meta.spec);
    add_body(&mut wire, body)?;
    if let Some(used) = &view.job.meta.spec.job_type {
        wire.job_type = Some(job_types::wire(used, true));
    }
    wire.prerequisites = view
        .prerequisites
        .iter()
        .map(waiting::wire_prerequisite)
        .collect();
    Ok(job(view, wire))
}

/// The job that a request would create.
///
/// # Errors
/// As [`full`].
pub(super) fn rehearsed(
    name: &JobName,
    checked: &JobSpec,
    creator: String,
) -> Result<v1::Job, StoreError> {
    Ok(v1::Job {
        name: name.to_string(),
        spec: Some(whole_spec(checked)?),
        state: state(JobState::Waiting).into(),
        progress: Some(v1::JobProgress::default()),
        creator,
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
        creator: job.meta.creator.clone(),
        open_prerequisites: narrow(job.waits),
        start_due_time: job.start_due.map(timestamp),
        deadline_due_time: job.deadline.map(timestamp),
        suspended: job.suspended,
        expire_time: job.expires.map(timestamp),
    }
}

pub(super) fn state(state: JobState) -> v1::JobState {
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
        split_failures: int(counts.split_failed),
        percentage: job.percentage(),
        items_per_second: job.items_per_second(now),
        estimated_time_left: job.time_left(now).map(|left| WireDuration {
            seconds: left.max(0) / 1_000_000,
            nanos: nanos(left.max(0)),
        }),
    }
}

/// A recorded failure.
pub(super) fn failure(row: &FailureRow) -> v1::Failure {
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
        time: Some(timestamp(row.recorded)),
        worker: row.worker.clone(),
    }
}

/// A spec without the payload or definition, which [`add_body`] adds.
fn spec(spec: &JobSpec) -> v1::JobSpec {
    let work = match &spec.work {
        Work::Task(task) => v1::job_spec::Work::Task(self::task(task)),
        Work::Batch(batch) => v1::job_spec::Work::Batch(self::batch(batch)),
    };
    v1::JobSpec {
        display_name: spec.display_name.clone(),
        description: spec.description.clone(),
        labels: pairs(&spec.labels),
        work: Some(work),
        failure_policy: Some(failure_policy(&spec.failure_policy)),
        retry_policy: Some(retry_policy(&spec.retry_policy)),
        item_timeout: (spec.item_timeout_ms > 0).then(|| millis(spec.item_timeout_ms)),
        max_in_flight: narrow(spec.max_in_flight),
        items_per_message: narrow(spec.items_per_message),
        result_pipe: spec
            .result_pipe
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        prerequisites: Vec::new(),
        on_prerequisite_failure: waiting::wire_policy(spec.on_prerequisite_failure).into(),
        start: waiting::wire_start(spec.start),
        deadline: waiting::wire_deadline(spec.deadline),
        retention: retention::wire(&spec.retention),
        priority: Some(narrow(spec.priority)),
        job_type: spec
            .job_type
            .as_ref()
            .map(|used| job_types::wire(used, false)),
    }
}

/// A spec with everything that its client sent.
///
/// # Errors
/// As [`full`].
pub(super) fn whole_spec(checked: &JobSpec) -> Result<v1::JobSpec, StoreError> {
    let mut wire = spec(checked);
    add_body(&mut wire, checked.body())?;
    wire.job_type = checked
        .job_type
        .as_ref()
        .map(|used| job_types::wire(used, true));
    wire.prerequisites = waiting::wire_requested(&checked.prerequisites);
    Ok(wire)
}

fn add_body(spec: &mut v1::JobSpec, body: &[u8]) -> Result<(), StoreError> {
    match &mut spec.work {
        Some(v1::job_spec::Work::Task(task)) => body.clone_into(&mut task.payload),
        Some(v1::job_spec::Work::Batch(batch)) => {
            let definition =
                Definition::decode(body).map_err(|error| StoreError::Broken(error.to_string()))?;
            batch.definition = Some(match definition {
                Definition::Json(json) => v1::batch::Definition::Json(json::to_value(json)),
                Definition::Data(data) => v1::batch::Definition::Data(data.into()),
            });
        }
        None => {}
    }
    Ok(())
}

fn task(task: &TaskSpec) -> v1::Task {
    v1::Task {
        pipe: task.pipe.to_string(),
        r#type: task.task_type.clone(),
        payload: Vec::new(),
        content_type: task.content_type.clone(),
        headers: pairs(&task.headers),
    }
}

fn batch(batch: &BatchSpec) -> v1::Batch {
    let parameters = match &batch.parameters {
        Json::Object(fields) => Some(json::to_struct(fields.clone())),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => None,
    };
    v1::Batch {
        splitter: batch.splitter.clone(),
        definition: None,
        parameters,
        item: Some(v1::ItemTemplate {
            pipe: batch.pipe.to_string(),
            r#type: batch.task_type.clone(),
            payload: batch.payload.clone().map(json::to_value),
            headers: pairs(&batch.headers),
        }),
    }
}

fn failure_policy(policy: &FailurePolicy) -> v1::FailurePolicy {
    use v1::failure_policy::{OnExceeded, Tolerance as WireTolerance};
    let tolerance = match policy.tolerance {
        Tolerance::Items(items) => WireTolerance::MaxFailedItems(int(items)),
        Tolerance::Percentage(percent) => WireTolerance::MaxFailedPercentage(percent),
    };
    let on_exceeded = if policy.stop {
        OnExceeded::Stop
    } else {
        OnExceeded::Continue
    };
    v1::FailurePolicy {
        tolerance: Some(tolerance),
        on_exceeded: on_exceeded.into(),
    }
}

fn retry_policy(policy: &RetryPolicy) -> v1::RetryPolicy {
    v1::RetryPolicy {
        max_attempts: narrow(policy.max_attempts),
        initial_backoff: Some(millis(policy.initial_ms)),
        max_backoff: Some(millis(policy.max_ms)),
        multiplier: policy.multiplier,
        // On the wire 0 stands for the default, and a negative number for none.
        jitter: if policy.jitter == 0.0 {
            -1.0
        } else {
            policy.jitter
        },
    }
}

fn pairs(
    map: &std::collections::BTreeMap<String, String>,
) -> std::collections::HashMap<String, String> {
    map.iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

pub(super) fn timestamp(time: Micros) -> Timestamp {
    Timestamp {
        seconds: time.div_euclid(1_000_000),
        nanos: nanos(time),
    }
}

/// The part of a time below a second, in nanoseconds.
fn nanos(time: Micros) -> i32 {
    narrow(time.rem_euclid(1_000_000) * 1000)
}

pub(super) fn millis(time: u64) -> WireDuration {
    WireDuration {
        seconds: int(time / 1000),
        nanos: narrow(time % 1000 * 1_000_000),
    }
}

/// Numbers of the wire are narrower than ours; what is too large, which bounds exclude, is shown as the largest.
pub(super) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn narrow(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

/// Our clock; the database's, by which rates are measured, is close to it.
fn now() -> Micros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX)
    })
}

#[cfg(test)]
#[path = "convert_out_tests.rs"]
mod tests;
