//! A job's spec from the wire: checked, with every default filled in.

use std::time::Duration;

use headway::v1::{self, job_spec::Work as WireWork};
use headway_domain::{Error, PartitionId, job_types::TypeUse, jobs::JobSpec, limits};
use prost::Message;

use super::{
    policies::{failure_policy, retry_policy},
    retention, waiting,
    work::{self, Splitters, pipe},
};
use crate::grpc::{values::duration, violations::Violations};

/// Bytes of an encoded spec: what is accepted can be read again by a client that takes 4 MiB at
/// most.
pub(crate) const SPEC_BYTES: usize = 3 * 1024 * 1024;

/// The spec of a request.
///
/// # Errors
/// [`Error::Invalid`] that names every field that is wrong, as a path from the request.
pub(crate) fn spec(
    partition: Option<&PartitionId>,
    spec: Option<v1::JobSpec>,
    splitters: &Splitters,
) -> Result<JobSpec, Error> {
    let Some(spec) = spec else {
        return Err(Error::field("spec", "must be set"));
    };
    let size = spec.encoded_len();
    let mut violations = Violations::default();
    let converted = convert(partition, spec, splitters, &mut violations);
    // What is wrong below is named first: a payload that is too large is the cause of a spec that
    // is.
    violations.finish()?;
    let converted = converted.ok_or_else(|| Error::field("spec", "must be set"))?;
    converted.validate()?;
    if size > SPEC_BYTES {
        return Err(Error::field(
            "spec",
            format!("must be at most {SPEC_BYTES} bytes when encoded, and has {size}"),
        ));
    }
    Ok(converted)
}

/// As [`spec`], of which a job type may have made the work.
///
/// # Errors
/// As [`spec`].
pub(crate) fn spec_of(
    partition: Option<&PartitionId>,
    wire: Option<v1::JobSpec>,
    made_by: Option<TypeUse>,
    splitters: &Splitters,
) -> Result<JobSpec, Error> {
    let mut spec = spec(partition, wire, splitters)?;
    spec.job_type = made_by;
    spec.validate()?;
    Ok(spec)
}

fn convert(
    partition: Option<&PartitionId>,
    spec: v1::JobSpec,
    splitters: &Splitters,
    violations: &mut Violations,
) -> Option<JobSpec> {
    let work = match spec.work {
        Some(WireWork::Task(task)) => work::task(task, violations),
        Some(WireWork::Batch(batch)) => work::batch(batch, splitters, violations),
        None => {
            violations.push(
                "spec.work",
                "must be set: task or batch, or a job_type that makes one",
            );
            None
        }
    };
    let result_pipe = if spec.result_pipe.is_empty() {
        None
    } else {
        pipe("spec.result_pipe", spec.result_pipe, violations)
    };
    let failure_policy = failure_policy(spec.failure_policy.unwrap_or_default(), violations);
    let retry_policy = retry_policy(spec.retry_policy.unwrap_or_default(), violations);
    let prerequisites = waiting::prerequisites(partition, spec.prerequisites, violations);
    let on_prerequisite_failure = waiting::policy(spec.on_prerequisite_failure, violations);
    let start = waiting::start(spec.start, violations);
    let deadline = waiting::deadline(spec.deadline, violations);
    let retention = retention::read("spec.retention", spec.retention, violations);
    let priority = priority(spec.priority, violations);
    let item_timeout = millis("spec.item_timeout", spec.item_timeout, violations);
    let max_in_flight = count(
        "spec.max_in_flight",
        spec.max_in_flight,
        limits::DEFAULT_WINDOW,
        limits::MAX_WINDOW,
        violations,
    );
    let items_per_message = count(
        "spec.items_per_message",
        spec.items_per_message,
        1,
        limits::MAX_ITEMS_PER_MESSAGE,
        violations,
    );
    Some(JobSpec {
        display_name: spec.display_name,
        description: spec.description,
        labels: spec.labels.into_iter().collect(),
        work: work?,
        failure_policy,
        retry_policy,
        item_timeout_ms: item_timeout.unwrap_or(0),
        max_in_flight,
        items_per_message,
        result_pipe,
        prerequisites,
        on_prerequisite_failure,
        start,
        deadline,
        retention,
        priority,
        // Whoever lets a type make the work says so.
        job_type: None,
    })
}

/// A priority; none for the default.
pub(crate) fn priority(wire: Option<i32>, violations: &mut Violations) -> u32 {
    let Some(wire) = wire else {
        return limits::DEFAULT_PRIORITY;
    };
    let priority = u32::try_from(wire).ok();
    priority
        .filter(|priority| *priority <= limits::MAX_PRIORITY)
        .unwrap_or_else(|| {
            violations.push(
                "spec.priority",
                format!("must be 0 to {}, not {wire}", limits::MAX_PRIORITY),
            );
            limits::DEFAULT_PRIORITY
        })
}

/// A number from 1, where 0 stands for the default.
pub(crate) fn count(
    field: &str,
    number: i32,
    usual: u32,
    most: u32,
    violations: &mut Violations,
) -> u32 {
    match u32::try_from(number) {
        Ok(0) => usual,
        Ok(number) if number <= most => number,
        Ok(_) | Err(_) => {
            violations.push(field, format!("must be 1 to {most}, not {number}"));
            usual
        }
    }
}

/// A length of time in whole milliseconds, rounded up.
pub(super) fn millis(
    field: &str,
    wire: Option<prost_types::Duration>,
    violations: &mut Violations,
) -> Option<u64> {
    let longest = Duration::from_millis(limits::MAX_DURATION_MS);
    let fits = |time: &Duration| *time >= Duration::from_millis(1) && *time <= longest;
    match duration(wire?).filter(fits) {
        Some(time) => u64::try_from(time.as_nanos().div_ceil(1_000_000)).ok(),
        None => {
            violations.push(field, "must be 1 ms to 7 days");
            None
        }
    }
}

#[cfg(test)]
mod tests;
