//! What a job does, as its client set it, checked and with all defaults filled in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    failure_policy::FailurePolicy,
    retention::Retention,
    timing::{Deadline, Start},
};
use crate::{
    job_types::TypeUse,
    prerequisites::{OnPrerequisiteFailure, Prerequisite},
    retries::policy::RetryPolicy,
    values::{ids::PipeName, limits},
};

/// What a job does. After creation only [`super::update::JobUpdate`] changes some of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// A name for people.
    pub display_name: String,
    /// A text for people.
    pub description: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The work.
    pub work: Work,
    /// When the job counts as failed.
    pub failure_policy: FailurePolicy,
    /// How items are tried again.
    pub retry_policy: RetryPolicy,
    /// How long one attempt of an item may run, in milliseconds; 0 for no limit.
    pub item_timeout_ms: u64,
    /// The window: how many items may be out at once, 1 to [`limits::MAX_WINDOW`].
    pub max_in_flight: u32,
    /// Sibling items in one message, 1 to [`limits::MAX_ITEMS_PER_MESSAGE`].
    pub items_per_message: u32,
    /// Where result messages of done items go.
    pub result_pipe: Option<PipeName>,
    /// Jobs that must be complete before this one starts. Stored apart from the spec.
    #[serde(skip)]
    pub prerequisites: Vec<Prerequisite>,
    /// What happens to the job when a prerequisite is not completed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_prerequisite_failure: OnPrerequisiteFailure,
    /// When the job starts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub start: Start,
    /// When it must have ended.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deadline: Deadline,
    /// How long the job is retained after it ended.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retention: Retention,
    /// Its priority among the jobs of its pipe: 0 to [`limits::MAX_PRIORITY`], the highest first.
    #[serde(
        default = "default_priority",
        skip_serializing_if = "is_default_priority"
    )]
    pub priority: u32,
    /// The job type that made the work, if any.
    #[serde(default, skip_serializing_if = "is_default")]
    pub job_type: Option<TypeUse>,
}

fn default_priority() -> u32 {
    limits::DEFAULT_PRIORITY
}

fn is_default_priority(priority: &u32) -> bool {
    *priority == limits::DEFAULT_PRIORITY
}

/// A spec that does not set a field is stored and hashed as before that field existed.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One task or a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// One unit of work.
    Task(TaskSpec),
    /// Any number of items, found by a splitter.
    Batch(BatchSpec),
}

/// One unit of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The pipe.
    pub pipe: PipeName,
    /// The task type.
    pub task_type: String,
    /// The input. Stored apart from the spec.
    #[serde(skip)]
    pub payload: Vec<u8>,
    /// Its media type.
    pub content_type: String,
    /// Headers.
    pub headers: BTreeMap<String, String>,
}

/// A definition for a splitter and what its items become.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchSpec {
    /// The splitter.
    pub splitter: String,
    /// The encoded definition. Stored apart from the spec.
    #[serde(skip)]
    pub definition: Vec<u8>,
    /// Values for the item template.
    pub parameters: serde_json::Value,
    /// The pipe of the items.
    pub pipe: PipeName,
    /// The task type of the items.
    pub task_type: String,
    /// The payload template. Without one, the payload is the item as the splitter found it.
    pub payload: Option<serde_json::Value>,
    /// Headers of the items.
    pub headers: BTreeMap<String, String>,
}

impl JobSpec {
    /// A spec with defaults for everything but its work.
    pub fn new(work: Work) -> Self {
        Self {
            display_name: String::new(),
            description: String::new(),
            labels: BTreeMap::new(),
            work,
            failure_policy: FailurePolicy::default(),
            retry_policy: RetryPolicy::default(),
            item_timeout_ms: 0,
            max_in_flight: limits::DEFAULT_WINDOW,
            items_per_message: 1,
            result_pipe: None,
            prerequisites: Vec::new(),
            on_prerequisite_failure: OnPrerequisiteFailure::default(),
            start: Start::default(),
            deadline: Deadline::default(),
            retention: Retention::default(),
            priority: limits::DEFAULT_PRIORITY,
            job_type: None,
        }
    }

    /// The pipe that items enter first.
    pub fn pipe(&self) -> &PipeName {
        match &self.work {
            Work::Task(task) => &task.pipe,
            Work::Batch(batch) => &batch.pipe,
        }
    }

    /// The payload or definition, which is stored apart from the spec.
    pub fn body(&self) -> &[u8] {
        match &self.work {
            Work::Task(task) => &task.payload,
            Work::Batch(batch) => &batch.definition,
        }
    }

    /// Sets the payload or definition, as [`JobSpec::body`] returns it.
    pub fn set_body(&mut self, body: Vec<u8>) {
        match &mut self.work {
            Work::Task(task) => task.payload = body,
            Work::Batch(batch) => batch.definition = body,
        }
    }

    /// The spec without what is stored apart.
    pub fn without_body(&self) -> Self {
        let mut spec = self.clone();
        spec.set_body(Vec::new());
        spec.prerequisites = Vec::new();
        spec
    }

    /// SHA-256 over a canonical form: equal for equal specs, whatever the order of maps.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        // Maps are sorted (BTreeMap, serde_json without preserved order), so the text is canonical.
        match &self.job_type {
            None => {
                hasher.update(serde_json::to_vec(self).unwrap_or_default());
                hasher.update([0]);
                hasher.update(self.body());
            }
            Some(_) => hasher.update(self.asked_for().to_string()),
        }
        if !self.prerequisites.is_empty() {
            hasher.update([0]);
            hasher.update(serde_json::to_vec(&self.prerequisites).unwrap_or_default());
        }
        hasher.finalize().into()
    }

    /// The request, for a job whose type made the work: after a change of the type, the same
    /// request makes other work.
    fn asked_for(&self) -> serde_json::Value {
        let mut asked = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = asked.as_object_mut() {
            fields.remove("work");
            if let Some(used) = fields.get_mut("job_type") {
                used["version"] = "".into();
            }
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    fn task() -> JobSpec {
        JobSpec::new(Work::Task(TaskSpec {
            pipe: PipeName::new("p").unwrap(),
            task_type: "t".into(),
            payload: b"x".to_vec(),
            content_type: String::new(),
            headers: BTreeMap::new(),
        }))
    }

    #[test]
    fn hash_tells_specs_apart_and_survives_storage() {
        let spec = task();
        let mut other = task();
        other.set_body(b"y".to_vec());
        assert_ne!(spec.hash(), other.hash());
        let mut stored: JobSpec =
            serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
        stored.set_body(spec.body().to_vec());
        assert_eq!(stored, spec);
        assert_eq!(stored.hash(), spec.hash());
    }

    #[test]
    fn the_same_request_of_a_type_is_the_same_whatever_it_makes() {
        let typed = |version: &str, parameter: u32, body: &[u8]| {
            let mut spec = task();
            spec.set_body(body.to_vec());
            spec.job_type = Some(TypeUse {
                name: "export".into(),
                version: version.into(),
                parameters: serde_json::json!({"id": parameter}),
            });
            spec.hash()
        };
        assert_eq!(typed("1", 5, b"x"), typed("2", 5, b"y"));
        assert_ne!(typed("1", 5, b"x"), typed("1", 6, b"x"));
        assert_ne!(typed("1", 5, b"x"), task().hash());
    }

    #[test]
    fn every_broken_bound_is_named() {
        let mut spec = task();
        spec.max_in_flight = 0;
        spec.items_per_message = 1001;
        spec.retry_policy.jitter = 2.0;
        spec.labels.insert("bad key".into(), String::new());
        let Err(Error::Invalid(list)) = spec.validate() else {
            panic!("accepted")
        };
        let fields: Vec<_> = list.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "spec.labels",
                "spec.max_in_flight",
                "spec.items_per_message",
                "spec.retry_policy.jitter"
            ]
        );
    }
}
