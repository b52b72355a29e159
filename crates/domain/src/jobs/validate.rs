//! The bounds of a spec.

use std::collections::BTreeMap;

use super::{
    failure_policy::Tolerance,
    spec::{BatchSpec, JobSpec, Work},
    timing::{Deadline, Start},
};
use crate::{
    error::{Error, FieldViolation},
    retries::policy::RetryPolicy,
    values::limits,
};

impl JobSpec {
    /// Checks every bound and names each field that breaks one, as a path below `spec`.
    pub fn validate(&self) -> Result<(), Error> {
        let mut check = Check(Vec::new());
        check.bytes(
            "spec.display_name",
            self.display_name.len(),
            limits::MAX_SHORT_TEXT_BYTES,
        );
        check.bytes(
            "spec.description",
            self.description.len(),
            limits::MAX_TEXT_BYTES,
        );
        check.text("spec.display_name", &self.display_name);
        check.text("spec.description", &self.description);
        check.labels(&self.labels);
        check.range("spec.max_in_flight", self.max_in_flight, limits::MAX_WINDOW);
        check.range(
            "spec.items_per_message",
            self.items_per_message,
            limits::MAX_ITEMS_PER_MESSAGE,
        );
        check.that(
            "spec.priority",
            self.priority <= limits::MAX_PRIORITY,
            || format!("must be 0 to {}", limits::MAX_PRIORITY),
        );
        check.duration("spec.item_timeout", self.item_timeout_ms, 0);
        check.that(
            "spec.prerequisites",
            self.prerequisites.len() <= limits::MAX_PREREQUISITES,
            || format!("must be at most {}", limits::MAX_PREREQUISITES),
        );
        if let Start::After(ms) = self.start {
            check.span("spec.start_delay", ms);
        }
        if let Deadline::Within(ms) = self.deadline {
            check.span("spec.max_duration", ms);
        }
        if let Some(used) = &self.job_type {
            let size = used.parameters.to_string().len();
            check.bytes("spec.job_type.parameters", size, limits::MAX_TEMPLATE_BYTES);
        }
        check.retry(&self.retry_policy);
        if let Tolerance::Percentage(percent) = self.failure_policy.tolerance {
            check.that(
                "spec.failure_policy.max_failed_percentage",
                percent > 0.0 && percent <= 100.0,
                || "must be above 0 and at most 100".into(),
            );
        }
        match &self.work {
            Work::Task(task) => {
                check.bytes(
                    "spec.task.type",
                    task.task_type.len(),
                    limits::MAX_SHORT_TEXT_BYTES,
                );
                check.bytes(
                    "spec.task.payload",
                    task.payload.len(),
                    limits::MAX_PAYLOAD_BYTES,
                );
                check.bytes(
                    "spec.task.content_type",
                    task.content_type.len(),
                    limits::MAX_ID_BYTES,
                );
                check.headers("spec.task.headers", &task.headers);
            }
            Work::Batch(batch) => check.batch(batch),
        }
        if check.0.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(check.0))
        }
    }
}

struct Check(Vec<FieldViolation>);

impl Check {
    fn that(&mut self, field: &str, holds: bool, description: impl FnOnce() -> String) {
        if !holds {
            self.0.push(FieldViolation {
                field: field.to_owned(),
                description: description(),
            });
        }
    }

    fn bytes(&mut self, field: &str, has: usize, most: usize) {
        self.that(field, has <= most, || {
            format!("must be at most {most} bytes, and has {has}")
        });
    }

    fn text(&mut self, field: &str, text: &str) {
        self.that(field, !text.contains('\0'), || {
            "must not contain the character U+0000".into()
        });
    }

    fn range(&mut self, field: &str, value: u32, most: u32) {
        self.that(field, (1..=most).contains(&value), || {
            format!("must be 1 to {most}")
        });
    }

    fn duration(&mut self, field: &str, ms: u64, least: u64) {
        self.that(field, ms >= least && ms <= limits::MAX_DURATION_MS, || {
            "must be 1 ms to 7 days".into()
        });
    }

    fn span(&mut self, field: &str, ms: u64) {
        self.that(field, (1..=limits::MAX_SPAN_MS).contains(&ms), || {
            "must be 1 ms to 366 days".into()
        });
    }

    fn labels(&mut self, labels: &BTreeMap<String, String>) {
        self.that("spec.labels", labels.len() <= limits::MAX_LABELS, || {
            format!(
                "must be at most {} labels, and has {}",
                limits::MAX_LABELS,
                labels.len()
            )
        });
        for (key, value) in labels {
            self.that("spec.labels", label_key(key), || {
                format!(
                    "key {key:?} must be 1 to {} ASCII letters, digits or _ - . / :",
                    limits::MAX_ID_BYTES
                )
            });
            self.bytes("spec.labels", value.len(), limits::MAX_SHORT_TEXT_BYTES);
            self.text("spec.labels", value);
        }
    }

    fn headers(&mut self, field: &str, headers: &BTreeMap<String, String>) {
        self.that(field, headers.len() <= limits::MAX_LABELS, || {
            format!(
                "must be at most {} headers, and has {}",
                limits::MAX_LABELS,
                headers.len()
            )
        });
        for (key, value) in headers {
            self.that(
                field,
                !key.is_empty() && key.len() <= limits::MAX_ID_BYTES,
                || format!("keys must be 1 to {} bytes", limits::MAX_ID_BYTES),
            );
            self.bytes(field, value.len(), limits::MAX_HEADER_BYTES);
            self.text(field, key);
            self.text(field, value);
        }
    }

    fn retry(&mut self, retry: &RetryPolicy) {
        self.range(
            "spec.retry_policy.max_attempts",
            retry.max_attempts,
            limits::MAX_ATTEMPTS,
        );
        self.duration("spec.retry_policy.initial_backoff", retry.initial_ms, 1);
        self.duration("spec.retry_policy.max_backoff", retry.max_ms, 1);
        self.that(
            "spec.retry_policy.multiplier",
            (1.0..=10.0).contains(&retry.multiplier),
            || "must be 1 to 10".into(),
        );
        self.that(
            "spec.retry_policy.jitter",
            (0.0..=1.0).contains(&retry.jitter),
            || "must be 0 to 1".into(),
        );
    }

    fn batch(&mut self, batch: &BatchSpec) {
        let splitter = &batch.splitter;
        self.that(
            "spec.batch.splitter",
            !splitter.is_empty() && splitter.len() <= limits::MAX_ID_BYTES,
            || format!("must be 1 to {} bytes", limits::MAX_ID_BYTES),
        );
        self.text("spec.batch.splitter", splitter);
        self.bytes(
            "spec.batch.definition",
            batch.definition.len(),
            limits::MAX_PAYLOAD_BYTES + 1,
        );
        self.bytes(
            "spec.batch.parameters",
            batch.parameters.to_string().len(),
            limits::MAX_TEMPLATE_BYTES,
        );
        let template = batch
            .payload
            .as_ref()
            .map_or(0, |payload| payload.to_string().len());
        self.bytes(
            "spec.batch.item.payload",
            template,
            limits::MAX_TEMPLATE_BYTES,
        );
        self.bytes(
            "spec.batch.item.type",
            batch.task_type.len(),
            limits::MAX_SHORT_TEXT_BYTES,
        );
        self.headers("spec.batch.item.headers", &batch.headers);
    }
}

/// Whether a text may be a label's key.
pub fn label_key(key: &str) -> bool {
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b':');
    !key.is_empty() && key.len() <= limits::MAX_ID_BYTES && key.bytes().all(allowed)
}

#[cfg(test)]
mod tests;
