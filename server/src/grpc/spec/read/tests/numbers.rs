//! Numbers and lengths of time out of bounds.

use super::*;

#[test]
fn bad_numbers_and_durations_are_refused_by_name() {
    let time = |seconds, nanos| Some(WireDuration { seconds, nanos });
    let retry = |policy| v1::JobSpec {
        retry_policy: Some(policy),
        ..wire_task()
    };
    let failure = |tolerance, on_exceeded| v1::JobSpec {
        failure_policy: Some(v1::FailurePolicy {
            tolerance,
            on_exceeded,
        }),
        ..wire_task()
    };
    let usual = v1::RetryPolicy::default();
    let percent = |percent| failure(Some(WireTolerance::MaxFailedPercentage(percent)), 0);
    let cases: Vec<(v1::JobSpec, &str)> = vec![
        (
            v1::JobSpec {
                max_in_flight: -1,
                ..wire_task()
            },
            "spec.max_in_flight",
        ),
        (
            v1::JobSpec {
                max_in_flight: 1_000_001,
                ..wire_task()
            },
            "spec.max_in_flight",
        ),
        (
            v1::JobSpec {
                items_per_message: 1001,
                ..wire_task()
            },
            "spec.items_per_message",
        ),
        (
            v1::JobSpec {
                items_per_message: i32::MIN,
                ..wire_task()
            },
            "spec.items_per_message",
        ),
        (
            v1::JobSpec {
                item_timeout: time(-1, 0),
                ..wire_task()
            },
            "spec.item_timeout",
        ),
        (
            v1::JobSpec {
                item_timeout: time(0, 0),
                ..wire_task()
            },
            "spec.item_timeout",
        ),
        (
            v1::JobSpec {
                item_timeout: time(0, 999_999),
                ..wire_task()
            },
            "spec.item_timeout",
        ),
        (
            v1::JobSpec {
                item_timeout: time(604_800, 1),
                ..wire_task()
            },
            "spec.item_timeout",
        ),
        (
            v1::JobSpec {
                item_timeout: time(1, 1_000_000_000),
                ..wire_task()
            },
            "spec.item_timeout",
        ),
        (
            v1::JobSpec {
                item_timeout: time(1, -1),
                ..wire_task()
            },
            "spec.item_timeout",
        ),
        (
            v1::JobSpec {
                item_timeout: time(i64::MAX, 0),
                ..wire_task()
            },
            "spec.item_timeout",
        ),
        (
            retry(v1::RetryPolicy {
                max_attempts: -1,
                ..usual
            }),
            "spec.retry_policy.max_attempts",
        ),
        (
            retry(v1::RetryPolicy {
                max_attempts: 101,
                ..usual
            }),
            "spec.retry_policy.max_attempts",
        ),
        (
            retry(v1::RetryPolicy {
                initial_backoff: time(0, 0),
                ..usual
            }),
            "spec.retry_policy.initial_backoff",
        ),
        (
            retry(v1::RetryPolicy {
                max_backoff: time(-5, 0),
                ..usual
            }),
            "spec.retry_policy.max_backoff",
        ),
        (
            retry(v1::RetryPolicy {
                multiplier: f64::NAN,
                ..usual
            }),
            "spec.retry_policy.multiplier",
        ),
        (
            retry(v1::RetryPolicy {
                multiplier: 0.5,
                ..usual
            }),
            "spec.retry_policy.multiplier",
        ),
        (
            retry(v1::RetryPolicy {
                multiplier: -1.0,
                ..usual
            }),
            "spec.retry_policy.multiplier",
        ),
        (
            retry(v1::RetryPolicy {
                jitter: Some(f64::NAN),
                ..usual
            }),
            "spec.retry_policy.jitter",
        ),
        (
            retry(v1::RetryPolicy {
                jitter: Some(f64::NEG_INFINITY),
                ..usual
            }),
            "spec.retry_policy.jitter",
        ),
        (
            retry(v1::RetryPolicy {
                jitter: Some(1.5),
                ..usual
            }),
            "spec.retry_policy.jitter",
        ),
        (
            retry(v1::RetryPolicy {
                jitter: Some(-0.1),
                ..usual
            }),
            "spec.retry_policy.jitter",
        ),
        (percent(0.0), "spec.failure_policy.max_failed_percentage"),
        (
            percent(f64::NAN),
            "spec.failure_policy.max_failed_percentage",
        ),
        (percent(100.1), "spec.failure_policy.max_failed_percentage"),
        (
            failure(Some(WireTolerance::MaxFailedItems(-1)), 0),
            "spec.failure_policy.max_failed_items",
        ),
        (failure(None, 99), "spec.failure_policy.on_exceeded"),
    ];
    for (spec, field) in cases {
        let shown = format!("{spec:?}");
        assert_eq!(refused(spec).0, field, "{shown}");
    }
}
