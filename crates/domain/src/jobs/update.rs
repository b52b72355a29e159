//! Changes to a job's spec.

use std::collections::BTreeMap;

use super::{failure_policy::FailurePolicy, retention::Retention, spec::JobSpec};

/// New values of some fields of a spec; the others stay as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobUpdate {
    /// All labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// A text for people.
    pub description: Option<String>,
    /// The priority, for what is sent from now on.
    pub priority: Option<u32>,
    /// The window. Items that are out already stay out.
    pub max_in_flight: Option<u32>,
    /// When the job counts as failed. It does not change the state of a job that has ended.
    pub failure_policy: Option<FailurePolicy>,
    /// How long the job is retained.
    pub retention: Option<Retention>,
}

impl JobUpdate {
    /// The spec with the new values, and the names of the fields that changed.
    pub fn apply(&self, spec: &JobSpec) -> (JobSpec, Vec<&'static str>) {
        let mut new = spec.clone();
        let mut changed = Vec::new();
        let mut set = |name, is_new: bool| {
            if is_new {
                changed.push(name);
            }
        };
        if let Some(labels) = &self.labels {
            set("labels", new.labels != *labels);
            new.labels.clone_from(labels);
        }
        if let Some(description) = &self.description {
            set("description", new.description != *description);
            new.description.clone_from(description);
        }
        if let Some(priority) = self.priority {
            set("priority", new.priority != priority);
            new.priority = priority;
        }
        if let Some(window) = self.max_in_flight {
            set("max_in_flight", new.max_in_flight != window);
            new.max_in_flight = window;
        }
        if let Some(policy) = self.failure_policy {
            set("failure_policy", new.failure_policy != policy);
            new.failure_policy = policy;
        }
        if let Some(retention) = &self.retention {
            set("retention", new.retention != *retention);
            new.retention.clone_from(retention);
        }
        (new, changed)
    }
}
