//! How many items may fail, and how failed items are tried again, from the wire.

use headway::v1::{
    self,
    failure_policy::{OnExceeded, Tolerance as WireTolerance},
};
use headway_domain::{
    jobs::{FailurePolicy, Tolerance},
    limits,
    retries::RetryPolicy,
};

use super::read::{count, millis};
use crate::grpc::violations::Violations;

pub(crate) fn failure_policy(
    policy: v1::FailurePolicy,
    violations: &mut Violations,
) -> FailurePolicy {
    let tolerance = match policy.tolerance {
        None => Tolerance::Items(0),
        Some(WireTolerance::MaxFailedItems(items)) => {
            Tolerance::Items(u64::try_from(items).unwrap_or_else(|_| {
                violations.push(
                    "spec.failure_policy.max_failed_items",
                    format!("must be 0 or more, not {items}"),
                );
                0
            }))
        }
        // The bounds are checked with the rest of the spec.
        Some(WireTolerance::MaxFailedPercentage(percent)) => Tolerance::Percentage(percent),
    };
    let stop = match OnExceeded::try_from(policy.on_exceeded) {
        Ok(OnExceeded::Unspecified | OnExceeded::Continue) => false,
        Ok(OnExceeded::Stop) => true,
        Err(_) => {
            violations.push(
                "spec.failure_policy.on_exceeded",
                format!(
                    "must be CONTINUE or STOP (1 or 2), not {}",
                    policy.on_exceeded
                ),
            );
            false
        }
    };
    FailurePolicy { tolerance, stop }
}

pub(super) fn retry_policy(policy: v1::RetryPolicy, violations: &mut Violations) -> RetryPolicy {
    let usual = RetryPolicy::default();
    let attempts = count(
        "spec.retry_policy.max_attempts",
        policy.max_attempts,
        usual.max_attempts,
        limits::MAX_ATTEMPTS,
        violations,
    );
    let initial = millis(
        "spec.retry_policy.initial_backoff",
        policy.initial_backoff,
        violations,
    );
    let max = millis(
        "spec.retry_policy.max_backoff",
        policy.max_backoff,
        violations,
    );
    let finite = |field: &str, number: f64, violations: &mut Violations| {
        violations.check(number.is_finite(), field, || {
            format!("must be a finite number, not {number}")
        });
    };
    finite(
        "spec.retry_policy.multiplier",
        policy.multiplier,
        violations,
    );
    let jitter = policy.jitter.unwrap_or(usual.jitter);
    finite("spec.retry_policy.jitter", jitter, violations);
    let multiplier = if policy.multiplier == 0.0 {
        usual.multiplier
    } else {
        policy.multiplier
    };
    RetryPolicy {
        max_attempts: attempts,
        initial_ms: initial.unwrap_or(usual.initial_ms),
        max_ms: max.unwrap_or(usual.max_ms),
        multiplier,
        jitter,
    }
}
