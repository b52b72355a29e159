//! Builders for what a job is to do. The server checks the result.

use std::time::{Duration, SystemTime};

use headway::v1::{
    BatchSpec, FailurePolicy, ItemTemplate, JobSpec, Prerequisite, PrerequisitePolicy, Retention,
    RetryPolicy, TaskSpec,
    batch_spec::{Definition, ParametersForm},
    failure_policy::{OnExceeded, Tolerance},
    item_template::PayloadForm,
    job_spec::{Deadline, Start, Work},
};
use serde_json::Value as Json;

use crate::{JsonError, json::JsonForm, json_to_struct, json_to_value};

/// Builds one unit of work.
#[derive(Debug, Clone, Default)]
pub struct TaskBuilder(TaskSpec);

/// Builds a batch: a definition, the splitter that reads it, and the template of its items.
#[derive(Debug, Clone, Default)]
pub struct BatchBuilder(BatchSpec);

/// Builds a job spec around a task or a batch.
#[derive(Debug, Clone)]
pub struct JobBuilder(JobSpec);

impl TaskBuilder {
    /// A task of type `kind` for the workers of `pipe`.
    pub fn new(pipe: impl Into<String>, kind: impl Into<String>) -> Self {
        Self(TaskSpec {
            pipe: pipe.into(),
            r#type: kind.into(),
            ..TaskSpec::default()
        })
    }

    /// The input as JSON.
    #[must_use]
    pub fn json(self, payload: &Json) -> Self {
        self.payload(payload.to_string(), "application/json")
    }

    /// The input as bytes (at most 1 MiB) of a media type.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Vec<u8>>, content_type: impl Into<String>) -> Self {
        self.0.payload = payload.into();
        self.0.content_type = content_type.into();
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.headers.insert(key.into(), value.into());
        self
    }
}

impl BatchBuilder {
    /// A batch that `splitter` reads.
    pub fn new(splitter: impl Into<String>) -> Self {
        Self(BatchSpec {
            splitter: splitter.into(),
            ..BatchSpec::default()
        })
    }

    /// The definition as JSON.
    #[must_use]
    pub fn json(mut self, definition: &Json) -> Self {
        let form = JsonForm::of(definition, json_to_value(definition));
        self.0.definition = Some(match form {
            JsonForm::Value(value) => Definition::Json(value),
            JsonForm::Text(text) => Definition::JsonText(text),
        });
        self
    }

    /// The definition as bytes that the splitter understands, at most 1 MiB.
    #[must_use]
    pub fn data(mut self, definition: impl Into<Vec<u8>>) -> Self {
        self.0.definition = Some(Definition::Data(definition.into()));
        self
    }

    /// The parameters, a JSON object.
    ///
    /// # Errors
    /// [`JsonError::NotAnObject`].
    pub fn parameters(mut self, parameters: &Json) -> Result<Self, JsonError> {
        self.0.parameters_form = Some(match json_to_struct(parameters) {
            Ok(object) => ParametersForm::Parameters(object),
            Err(JsonError::Inexact(_)) => {
                ParametersForm::ParametersJsonText(parameters.to_string())
            }
            Err(error @ JsonError::NotAnObject(_)) => return Err(error),
        });
        Ok(self)
    }

    /// The items are tasks of type `kind` for the workers of `pipe`.
    #[must_use]
    pub fn item(mut self, pipe: impl Into<String>, kind: impl Into<String>) -> Self {
        let item = self.template();
        item.pipe = pipe.into();
        item.r#type = kind.into();
        self
    }

    /// The payload of each item, in which `{{item}}`, `{{item.FIELD}}`, `{{parameters}}` and
    /// `{{parameters.FIELD}}` are replaced.
    #[must_use]
    pub fn item_payload(mut self, payload: &Json) -> Self {
        let form = JsonForm::of(payload, json_to_value(payload));
        self.template().payload_form = Some(match form {
            JsonForm::Value(value) => PayloadForm::Payload(value),
            JsonForm::Text(text) => PayloadForm::PayloadJsonText(text),
        });
        self
    }

    /// Adds a header to each item.
    #[must_use]
    pub fn item_header(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.template().headers.insert(key.into(), value.into());
        self
    }

    fn template(&mut self) -> &mut ItemTemplate {
        self.0.item.get_or_insert_default()
    }
}

impl From<TaskBuilder> for Work {
    fn from(builder: TaskBuilder) -> Self {
        Self::Task(builder.0)
    }
}

impl From<BatchBuilder> for Work {
    fn from(builder: BatchBuilder) -> Self {
        Self::Batch(builder.0)
    }
}

impl JobBuilder {
    /// A job that does `work`: a [`TaskBuilder`], a [`BatchBuilder`], or the wire's form.
    pub fn new(work: impl Into<Work>) -> Self {
        Self(JobSpec {
            work: Some(work.into()),
            ..JobSpec::default()
        })
    }

    /// A name for people.
    #[must_use]
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.0.display_name = name.into();
        self
    }

    /// A text for people.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.0.description = description.into();
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.labels.insert(key.into(), value.into());
        self
    }

    /// Which jobs go first where several want the same pipe: 0 to 9, the highest first.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.0.priority = Some(priority);
        self
    }

    /// How many items may be out at once.
    #[must_use]
    pub fn max_in_flight(mut self, items: i32) -> Self {
        self.0.max_in_flight = items;
        self
    }

    /// How many sibling items travel in one message.
    #[must_use]
    pub fn items_per_message(mut self, items: i32) -> Self {
        self.0.items_per_message = items;
        self
    }

    /// This many items may fail before the job counts as failed.
    #[must_use]
    pub fn max_failed_items(mut self, items: i64) -> Self {
        self.failure_policy().tolerance = Some(Tolerance::MaxFailedItems(items));
        self
    }

    /// So large a part of all items may fail, in percent, before the job counts as failed.
    #[must_use]
    pub fn max_failed_percentage(mut self, percentage: f64) -> Self {
        self.failure_policy().tolerance = Some(Tolerance::MaxFailedPercentage(percentage));
        self
    }

    /// What happens once more has failed.
    #[must_use]
    pub fn on_exceeded(mut self, action: OnExceeded) -> Self {
        self.failure_policy().set_on_exceeded(action);
        self
    }

    /// How a failed item is tried again.
    #[must_use]
    pub fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.0.retry_policy = Some(policy);
        self
    }

    /// How often an item is tried in all.
    #[must_use]
    pub fn max_attempts(mut self, attempts: i32) -> Self {
        self.0.retry_policy.get_or_insert_default().max_attempts = attempts;
        self
    }

    /// How long one try of an item may run, at most 7 days; a longer one is refused by the server.
    #[must_use]
    pub fn item_timeout(mut self, limit: Duration) -> Self {
        self.0.item_timeout = Some(wire(limit));
        self
    }

    /// The pipe that receives the result of each done item.
    #[must_use]
    pub fn result_pipe(mut self, pipe: impl Into<String>) -> Self {
        self.0.result_pipe = pipe.into();
        self
    }

    /// A job of the same partition, by its name, that must be complete before this one starts. It
    /// need not exist yet.
    #[must_use]
    pub fn after(self, job: impl Into<String>) -> Self {
        self.prerequisite(job, false)
    }

    /// As [`JobBuilder::after`], for a job that counts as complete if it does not exist.
    #[must_use]
    pub fn after_if_exists(self, job: impl Into<String>) -> Self {
        self.prerequisite(job, true)
    }

    fn prerequisite(mut self, job: impl Into<String>, ignore_missing: bool) -> Self {
        self.0.prerequisites.push(Prerequisite {
            job: job.into(),
            ignore_missing,
            ..Prerequisite::default()
        });
        self
    }

    /// What becomes of the job when a prerequisite is not completed.
    #[must_use]
    pub fn on_prerequisite_failure(mut self, policy: PrerequisitePolicy) -> Self {
        self.0.set_on_prerequisite_failure(policy);
        self
    }

    /// How long to wait before it starts, once its prerequisites are complete.
    #[must_use]
    pub fn start_delay(mut self, delay: Duration) -> Self {
        self.0.start = Some(Start::StartDelay(wire(delay)));
        self
    }

    /// Before when it does not start.
    #[must_use]
    pub fn not_before_time(mut self, time: SystemTime) -> Self {
        self.0.start = Some(Start::NotBeforeTime(time.into()));
        self
    }

    /// How long the job may take, from its start; then it fails.
    #[must_use]
    pub fn max_duration(mut self, limit: Duration) -> Self {
        self.0.deadline = Some(Deadline::MaxDuration(wire(limit)));
        self
    }

    /// By when the job must have ended; else it fails.
    #[must_use]
    pub fn deadline_time(mut self, time: SystemTime) -> Self {
        self.0.deadline = Some(Deadline::DeadlineTime(time.into()));
        self
    }

    /// When the job is deleted once it is over in any way, such as `end+P7D`; see
    /// [`headway::v1::Retention`].
    #[must_use]
    pub fn retention(mut self, expiry: impl Into<String>) -> Self {
        let expiry = expiry.into();
        self.0.retention = Some(Retention {
            completed: expiry.clone(),
            failed: expiry.clone(),
            cancelled: expiry,
        });
        self
    }

    /// The spec.
    pub fn build(self) -> JobSpec {
        self.0
    }

    fn failure_policy(&mut self) -> &mut FailurePolicy {
        self.0.failure_policy.get_or_insert_default()
    }
}

fn wire(time: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.subsec_nanos()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
