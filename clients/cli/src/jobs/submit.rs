//! From a job file and flags to a request.

mod work;

use std::{path::Path, time::Duration};

use headway::v1::{
    CreateJobRequest, JobSpec, Prerequisite, Retention,
    failure_policy::Tolerance,
    job_spec::{Deadline, Start},
};
use headway_client::partition_name;

use self::work::apply_work;
use super::job_file;
use crate::{
    args::{OnExceededArg, RetentionState, SubmitArgs, UpdateArgs},
    failure::Failure,
    input::text,
    settings::Settings,
};

/// The request that the arguments ask for: the job file's, overridden by flags.
pub(crate) fn request(args: &SubmitArgs, settings: &Settings) -> Result<CreateJobRequest, Failure> {
    changed(args, JobSpec::default(), settings)
}

/// As [`request`], of a job that is changed: the job file replaces it, flags are put upon it.
pub(crate) fn changed(
    args: &SubmitArgs,
    mut before: JobSpec,
    settings: &Settings,
) -> Result<CreateJobRequest, Failure> {
    if before.job_type.is_some() {
        // What a type made is made again.
        before.work = None;
    }
    let mut request = match &args.file {
        Some(path) => job_file::parse(&text(path)?).map_err(|error| bad_file(path, &error))?,
        None => CreateJobRequest {
            spec: Some(before),
            ..CreateJobRequest::default()
        },
    };
    if request.parent.is_empty() || settings.partition_by_flag {
        request.parent = partition_name(&settings.partition)?;
    }
    if args.id.as_deref() == Some("") {
        return Err(Failure::usage("--id is empty").hint("leave it out for a random id"));
    }
    set(&mut request.job_id, &args.id);
    let spec = request.spec.get_or_insert_default();
    apply_work(args, spec)?;
    apply_options(args, spec);
    complete_names(spec, &request.parent);
    Ok(request)
}

/// Completes prerequisites that are named by their id alone.
pub(crate) fn complete_names(spec: &mut JobSpec, parent: &str) {
    for prerequisite in &mut spec.prerequisites {
        if !prerequisite.job.contains('/') {
            prerequisite.job = format!("{parent}/jobs/{}", prerequisite.job);
        }
    }
}

/// What is wrong with a job file.
pub(crate) fn bad_file(path: &Path, error: &str) -> Failure {
    Failure::usage(format!("job file {}: {error}", path.display()))
        .hint("a job file has the fields of a JobSpec, in snake_case or camelCase")
}

fn apply_options(args: &SubmitArgs, spec: &mut JobSpec) {
    set(&mut spec.display_name, &args.display_name);
    set(&mut spec.description, &args.description);
    set(&mut spec.result_pipe, &args.result_pipe);
    set(&mut spec.max_in_flight, &args.max_in_flight);
    spec.priority = args.priority.or(spec.priority);
    set(&mut spec.items_per_message, &args.items_per_message);
    spec.labels.extend(args.label.iter().cloned());
    apply_policy(
        args.max_failed,
        args.max_failed_percent,
        args.on_exceeded,
        spec,
    );
    if let Some(attempts) = args.max_attempts {
        spec.retry_policy.get_or_insert_default().max_attempts = attempts;
    }
    if let Some(limit) = args.item_timeout {
        spec.item_timeout = Some(wire(limit));
    }
    apply_times(args, spec);
}

/// Sets what is to be changed of a job, and names the fields.
pub(crate) fn apply_changes(args: &UpdateArgs, spec: &mut JobSpec) -> Vec<&'static str> {
    let mut paths = Vec::new();
    if args.no_labels {
        spec.labels.clear();
    }
    if args.no_labels || !args.label.is_empty() {
        spec.labels.extend(args.label.iter().cloned());
        paths.push("spec.labels");
    }
    if args.description.is_some() {
        set(&mut spec.description, &args.description);
        paths.push("spec.description");
    }
    if args.priority.is_some() {
        spec.priority = args.priority;
        paths.push("spec.priority");
    }
    if args.max_in_flight.is_some() {
        set(&mut spec.max_in_flight, &args.max_in_flight);
        paths.push("spec.max_in_flight");
    }
    let policy = (args.max_failed, args.max_failed_percent, args.on_exceeded);
    if policy != (None, None, None) {
        apply_policy(policy.0, policy.1, policy.2, spec);
        paths.push("spec.failure_policy");
    }
    if !args.retention.is_empty() {
        apply_retention(&args.retention, spec.retention.get_or_insert_default());
        paths.push("spec.retention");
    }
    paths
}

/// Sets what is said of the failure policy.
pub(crate) fn apply_policy(
    items: Option<i64>,
    percent: Option<f64>,
    on_exceeded: Option<OnExceededArg>,
    spec: &mut JobSpec,
) {
    let tolerance = items.map(Tolerance::MaxFailedItems);
    let tolerance = tolerance.or(percent.map(Tolerance::MaxFailedPercentage));
    if tolerance.is_some() {
        spec.failure_policy.get_or_insert_default().tolerance = tolerance;
    }
    if let Some(action) = on_exceeded {
        let policy = spec.failure_policy.get_or_insert_default();
        policy.set_on_exceeded(action.into());
    }
}

fn apply_times(args: &SubmitArgs, spec: &mut JobSpec) {
    let needed = args.after.iter().map(|job| (job, false));
    let ignored = args.after_if_exists.iter().map(|job| (job, true));
    for (job, ignore_missing) in needed.chain(ignored) {
        spec.prerequisites.push(Prerequisite {
            job: job.clone(),
            ignore_missing,
            ..Prerequisite::default()
        });
    }
    if let Some(policy) = args.on_prerequisite_failure {
        spec.set_on_prerequisite_failure(policy.into());
    }
    if let Some(delay) = args.delay {
        spec.start = Some(Start::StartDelay(wire(delay)));
    }
    if let Some(time) = args.not_before {
        spec.start = Some(Start::NotBeforeTime(time));
    }
    if !args.retention.is_empty() {
        apply_retention(&args.retention, spec.retention.get_or_insert_default());
    }
    if let Some(limit) = args.max_duration {
        spec.deadline = Some(Deadline::MaxDuration(wire(limit)));
    }
    if let Some(time) = args.deadline {
        spec.deadline = Some(Deadline::DeadlineTime(time));
    }
}

/// Sets what is said of a state, or of all.
pub(crate) fn apply_retention(
    said: &[(Option<RetentionState>, String)],
    retention: &mut Retention,
) {
    for (state, expiry) in said {
        let is = |wanted| state.is_none_or(|state| state == wanted);
        if is(RetentionState::Completed) {
            retention.completed.clone_from(expiry);
        }
        if is(RetentionState::Failed) {
            retention.failed.clone_from(expiry);
        }
        if is(RetentionState::Cancelled) {
            retention.cancelled.clone_from(expiry);
        }
    }
}

/// What the wire cannot say is beyond the limit that the server tells.
pub(crate) fn wire(time: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(time).unwrap_or(prost_types::Duration {
        seconds: i64::MAX,
        nanos: 0,
    })
}

fn set<T: Clone>(field: &mut T, flag: &Option<T>) {
    if let Some(value) = flag {
        field.clone_from(value);
    }
}

#[cfg(test)]
mod tests;
