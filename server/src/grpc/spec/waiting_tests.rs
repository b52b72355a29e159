//! Prerequisites, start times and deadlines, from the wire and back.

use prost_types::{Duration as WireDuration, Timestamp};

use super::*;

/// Reads something that is right.
fn right<T>(read: impl FnOnce(&mut Violations) -> T) -> T {
    let mut violations = Violations::default();
    let value = read(&mut violations);
    violations.finish().unwrap();
    value
}

/// The fields that are refused.
fn wrong<T>(read: impl FnOnce(&mut Violations) -> T) -> Vec<String> {
    let mut violations = Violations::default();
    read(&mut violations);
    match violations.finish() {
        Err(headway_domain::Error::Invalid(list)) => {
            list.into_iter().map(|wrong| wrong.field).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn partition() -> PartitionId {
    PartitionId::new("acme").unwrap()
}

fn named(job: &str, ignore_missing: bool) -> v1::Prerequisite {
    v1::Prerequisite {
        job: job.to_owned(),
        ignore_missing,
        ..v1::Prerequisite::default()
    }
}

fn of_acme(wire: Vec<v1::Prerequisite>) -> Vec<Prerequisite> {
    right(|violations| prerequisites(Some(&partition()), wire, violations))
}

fn delay(seconds: i64, nanos: i32) -> Option<WireStart> {
    Some(WireStart::StartDelay(WireDuration { seconds, nanos }))
}

fn not_before(seconds: i64, nanos: i32) -> Option<WireStart> {
    Some(WireStart::NotBeforeTime(Timestamp { seconds, nanos }))
}

#[test]
fn prerequisites_are_sorted_and_each_stands_once() {
    let wire = ["b", "a", "b"].map(|id| named(&format!("partitions/acme/jobs/{id}"), false));
    let ids: Vec<String> = of_acme(wire.to_vec())
        .iter()
        .map(|prerequisite| prerequisite.job.to_string())
        .collect();
    assert_eq!(ids, ["a", "b"]);
}

#[test]
fn a_job_that_is_named_twice_may_be_missing_only_if_it_may_both_times() {
    for (first, second) in [(true, true), (true, false), (false, true), (false, false)] {
        let wire = [first, second].map(|optional| named("partitions/acme/jobs/a", optional));
        let read = of_acme(wire.to_vec());
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].optional, first && second, "{first} and {second}");
    }
}

#[test]
fn each_wrong_prerequisite_is_named_by_its_place() {
    let wire = vec![
        named("partitions/acme/jobs/a", false),
        named("a", false),
        named("partitions/other/jobs/a", false),
        named("", true),
    ];
    let fields = wrong(|violations| prerequisites(Some(&partition()), wire, violations));
    let expected = [1, 2, 3].map(|at| format!("spec.prerequisites[{at}].job"));
    assert_eq!(fields, expected);
}

#[test]
fn without_a_partition_only_the_names_are_checked() {
    let wire = vec![named("partitions/other/jobs/a", false)];
    let read = right(|violations| prerequisites(None, wire, violations));
    assert_eq!(read.len(), 1);
}

#[test]
fn policies_come_back_as_they_were_said() {
    use v1::PrerequisitePolicy as Wire;
    for wire in [Wire::Fail, Wire::RunAnyway, Wire::Wait] {
        let read = right(|violations| policy(wire.into(), violations));
        assert_eq!(wire_policy(read), wire);
    }
    let unsaid = right(|violations| policy(Wire::Unspecified.into(), violations));
    assert_eq!(wire_policy(unsaid), Wire::Fail);
}

#[test]
fn an_unknown_policy_is_refused() {
    for number in [4, -1] {
        let fields = wrong(|violations| policy(number, violations));
        assert_eq!(fields, ["spec.on_prerequisite_failure"]);
    }
}

#[test]
fn delays_are_rounded_up_to_milliseconds() {
    for (seconds, nanos, ms) in [(0, 1_000_000, 1), (0, 1_000_001, 2), (1, 0, 1000)] {
        let read = right(|violations| start(delay(seconds, nanos), violations));
        assert_eq!(read, Start::After(ms));
    }
}

#[test]
fn delays_have_bounds() {
    let longest = i64::try_from(limits::MAX_SPAN_MS / 1000).unwrap();
    let read = right(|violations| start(delay(longest, 0), violations));
    assert_eq!(read, Start::After(limits::MAX_SPAN_MS));
    for (seconds, nanos) in [
        (0, 0),
        (0, 999_999),
        (-1, 0),
        (0, -1),
        (0, 1_000_000_000),
        (longest, 1),
        (i64::MAX, 0),
    ] {
        let fields = wrong(|violations| start(delay(seconds, nanos), violations));
        assert_eq!(fields, ["spec.start_delay"], "{seconds} s and {nanos} ns");
    }
}

#[test]
fn times_have_bounds() {
    for (seconds, nanos) in [
        (-1, 0),
        (LAST_SECOND + 1, 0),
        (i64::MAX, 0),
        (0, -1),
        (0, 1_000_000_000),
    ] {
        let fields = wrong(|violations| start(not_before(seconds, nanos), violations));
        assert_eq!(fields, ["spec.not_before_time"], "{seconds} s, {nanos} ns");
        let time = Timestamp { seconds, nanos };
        let end = Some(WireDeadline::DeadlineTime(time));
        let fields = wrong(|violations| deadline(end, violations));
        assert_eq!(fields, ["spec.deadline_time"], "{seconds} s, {nanos} ns");
    }
}

#[test]
fn starts_come_back_as_they_were_said() {
    for wire in [
        None,
        delay(90, 500_000_000),
        not_before(0, 0),
        not_before(LAST_SECOND, 999_999_000),
    ] {
        let read = right(|violations| start(wire, violations));
        assert_eq!(wire_start(read), wire);
    }
}

#[test]
fn deadlines_come_back_as_they_were_said() {
    let (seconds, nanos) = (1_800_000_000, 1000);
    for wire in [
        None,
        Some(WireDeadline::MaxDuration(WireDuration {
            seconds: 3600,
            nanos: 1_000_000,
        })),
        Some(WireDeadline::DeadlineTime(Timestamp { seconds, nanos })),
    ] {
        let read = right(|violations| deadline(wire, violations));
        assert_eq!(wire_deadline(read), wire);
    }
}

#[test]
fn what_is_below_a_microsecond_is_cut_off() {
    let read = right(|violations| start(not_before(1, 1999), violations));
    assert_eq!(read, Start::At(1_000_001));
}

#[test]
fn requested_prerequisites_are_open() {
    let asked = [Prerequisite {
        job: JobId::new("a").unwrap(),
        optional: true,
    }];
    let wire = wire_requested(&partition(), &asked);
    assert_eq!(wire.len(), 1);
    assert_eq!(wire[0].job, "partitions/acme/jobs/a");
    assert!(wire[0].ignore_missing);
    assert_eq!(wire[0].state(), v1::PrerequisiteState::Open);
}
