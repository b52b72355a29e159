//! A status in the making, with its details.

use std::{collections::HashMap, time::Duration};

use headway_domain::{JobName, values::text::clean};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of every `ErrorInfo`.
pub(super) const DOMAIN: &str = "headway.dev";
/// The resource type of a job.
const JOB: &str = "headway.dev/Job";
/// The resource type of a job type.
const JOB_TYPE: &str = "headway.dev/JobType";
/// Bytes of a field's path and of its description.
pub(super) const FIELD_BYTES: usize = 96;
const DESCRIPTION_BYTES: usize = 256;
/// Bytes of any other text in the details; a job's name has at most 273.
pub(super) const DETAIL_BYTES: usize = 512;
/// Bytes of a message.
pub(super) const MESSAGE_BYTES: usize = 1024;

/// A status in the making.
pub(super) struct Answer {
    code: Code,
    reason: &'static str,
    pub(super) message: String,
    metadata: HashMap<String, String>,
    pub(super) details: ErrorDetails,
}

impl Answer {
    pub(super) fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            metadata: HashMap::new(),
            details: ErrorDetails::new(),
        }
    }

    pub(super) fn info(mut self, key: &str, value: impl AsRef<str>) -> Self {
        let value = clean(value.as_ref(), DETAIL_BYTES);
        self.metadata.insert(key.to_owned(), value);
        self
    }

    pub(super) fn field(mut self, field: &str, description: &str) -> Self {
        self.details.add_bad_request_violation(
            clean(field, FIELD_BYTES),
            clean(description, DESCRIPTION_BYTES),
        );
        self
    }

    pub(super) fn job(self, name: &JobName, description: &str) -> Self {
        let answer = self.info("job", name.to_string());
        answer.resource(JOB, name.to_string(), description)
    }

    pub(super) fn job_type(self, name: String, description: &str) -> Self {
        let answer = self.info("job_type", &name);
        answer.resource(JOB_TYPE, format!("jobTypes/{name}"), description)
    }

    pub(super) fn resource(mut self, kind: &str, name: String, description: &str) -> Self {
        self.details.set_resource_info(kind, name, "", description);
        self
    }

    /// What of a job stands against the call.
    pub(super) fn precondition(mut self, job: &JobName, kind: &str, description: &str) -> Self {
        self.details.add_precondition_failure_violation(
            kind,
            job.to_string(),
            clean(description, DETAIL_BYTES),
        );
        self
    }

    pub(super) fn retry(mut self, after: Duration) -> Self {
        self.details.set_retry_info(Some(after));
        self
    }

    pub(super) fn status(mut self) -> Status {
        self.details
            .set_error_info(self.reason, DOMAIN, self.metadata);
        Status::with_error_details(self.code, clean(&self.message, MESSAGE_BYTES), self.details)
    }
}
