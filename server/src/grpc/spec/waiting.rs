//! What jobs wait for, from and to the wire: prerequisites, start times and deadlines.

use std::{collections::BTreeMap, time::Duration};

use headway::v1::{
    self,
    job_spec::{Deadline as WireDeadline, Start as WireStart},
};
use headway_domain::{
    JobId, JobName, Micros, PartitionId,
    jobs::{Deadline, Start},
    limits,
    prerequisites::{OnPrerequisiteFailure, Prerequisite},
};
use headway_store::{PrerequisiteState, PrerequisiteView};

use crate::grpc::{
    request,
    values::{duration, millis, timestamp},
    violations::Violations,
};

/// Seconds since 1970 of the last moment of the year 9999, the last that the wire can name.
const LAST_SECOND: i64 = 253_402_300_799;

/// By id, each once: one that is named twice may be missing only if it may both times.
pub(crate) fn prerequisites(
    partition: Option<&PartitionId>,
    wire: Vec<v1::Prerequisite>,
    violations: &mut Violations,
) -> Vec<Prerequisite> {
    let mut by_id: BTreeMap<JobId, bool> = BTreeMap::new();
    for (at, prerequisite) in wire.into_iter().enumerate() {
        let field = format!("spec.prerequisites[{at}].job");
        let name = violations.take(request::job_name(&field, &prerequisite.job));
        let Some(JobName { partition: of, job }) = name else {
            continue;
        };
        // A request whose own partition is wrong is refused anyway.
        let own = partition.is_none_or(|partition| *partition == of);
        violations.check(own, &field, || "must be of the same partition".to_owned());
        if own {
            by_id
                .entry(job)
                .and_modify(|optional| *optional &= prerequisite.ignore_missing)
                .or_insert(prerequisite.ignore_missing);
        }
    }
    by_id
        .into_iter()
        .map(|(job, optional)| Prerequisite { job, optional })
        .collect()
}

pub(crate) fn policy(wire: i32, violations: &mut Violations) -> OnPrerequisiteFailure {
    use v1::PrerequisitePolicy as Wire;
    match Wire::try_from(wire) {
        Ok(Wire::Unspecified | Wire::Fail) => OnPrerequisiteFailure::Fail,
        Ok(Wire::RunAnyway) => OnPrerequisiteFailure::RunAnyway,
        Ok(Wire::Wait) => OnPrerequisiteFailure::Wait,
        Err(_) => {
            violations.push(
                "spec.on_prerequisite_failure",
                format!("must be FAIL, RUN_ANYWAY or WAIT (1 to 3), not {wire}"),
            );
            OnPrerequisiteFailure::Fail
        }
    }
}

pub(crate) fn start(wire: Option<WireStart>, violations: &mut Violations) -> Start {
    match wire {
        None => Start::AtOnce,
        Some(WireStart::StartDelay(delay)) => {
            span("spec.start_delay", delay, violations).map_or(Start::AtOnce, Start::After)
        }
        Some(WireStart::NotBeforeTime(time)) => {
            moment("spec.not_before_time", time, violations).map_or(Start::AtOnce, Start::At)
        }
    }
}

pub(crate) fn deadline(wire: Option<WireDeadline>, violations: &mut Violations) -> Deadline {
    match wire {
        None => Deadline::Never,
        Some(WireDeadline::MaxDuration(most)) => {
            span("spec.max_duration", most, violations).map_or(Deadline::Never, Deadline::Within)
        }
        Some(WireDeadline::DeadlineTime(time)) => {
            moment("spec.deadline_time", time, violations).map_or(Deadline::Never, Deadline::At)
        }
    }
}

/// Milliseconds, rounded up.
fn span(field: &str, wire: prost_types::Duration, violations: &mut Violations) -> Option<u64> {
    let longest = Duration::from_millis(limits::MAX_SPAN_MS);
    let fits = |time: &Duration| *time >= Duration::from_millis(1) && *time <= longest;
    match duration(wire).filter(fits) {
        Some(time) => u64::try_from(time.as_nanos().div_ceil(1_000_000)).ok(),
        None => {
            violations.push(field, "must be 1 ms to 366 days");
            None
        }
    }
}

fn moment(
    field: &str,
    wire: prost_types::Timestamp,
    violations: &mut Violations,
) -> Option<Micros> {
    let seconds = (0..=LAST_SECOND).contains(&wire.seconds);
    if !seconds || !(0..1_000_000_000).contains(&wire.nanos) {
        violations.push(field, "must be a time from 1970 to 9999");
        return None;
    }
    Some(wire.seconds * 1_000_000 + i64::from(wire.nanos) / 1000)
}

pub(crate) fn wire_policy(policy: OnPrerequisiteFailure) -> v1::PrerequisitePolicy {
    match policy {
        OnPrerequisiteFailure::Fail => v1::PrerequisitePolicy::Fail,
        OnPrerequisiteFailure::RunAnyway => v1::PrerequisitePolicy::RunAnyway,
        OnPrerequisiteFailure::Wait => v1::PrerequisitePolicy::Wait,
    }
}

pub(crate) fn wire_start(start: Start) -> Option<WireStart> {
    match start {
        Start::AtOnce => None,
        Start::After(ms) => Some(WireStart::StartDelay(millis(ms))),
        Start::At(time) => Some(WireStart::NotBeforeTime(timestamp(time))),
    }
}

pub(crate) fn wire_deadline(deadline: Deadline) -> Option<WireDeadline> {
    match deadline {
        Deadline::Never => None,
        Deadline::Within(ms) => Some(WireDeadline::MaxDuration(millis(ms))),
        Deadline::At(time) => Some(WireDeadline::DeadlineTime(timestamp(time))),
    }
}

pub(crate) fn wire_prerequisite(
    partition: &PartitionId,
    view: &PrerequisiteView,
) -> v1::Prerequisite {
    let state = match view.state {
        PrerequisiteState::Open => v1::PrerequisiteState::Open,
        PrerequisiteState::Met => v1::PrerequisiteState::Met,
        PrerequisiteState::Broken => v1::PrerequisiteState::Broken,
    };
    v1::Prerequisite {
        job: job_name(partition, &view.job),
        ignore_missing: view.optional,
        state: state.into(),
    }
}

/// As they were asked for, before any is looked at.
pub(crate) fn wire_requested(
    partition: &PartitionId,
    prerequisites: &[Prerequisite],
) -> Vec<v1::Prerequisite> {
    let wire = |prerequisite: &Prerequisite| v1::Prerequisite {
        job: job_name(partition, &prerequisite.job),
        ignore_missing: prerequisite.optional,
        state: v1::PrerequisiteState::Open.into(),
    };
    prerequisites.iter().map(wire).collect()
}

fn job_name(partition: &PartitionId, job: &JobId) -> String {
    format!("partitions/{partition}/jobs/{job}")
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
