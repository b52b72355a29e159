//! A job's spec as the wire has it. JSON always goes out as text: a reader has one form to know,
//! and numbers keep their values.

use std::collections::{BTreeMap, HashMap};

use headway::v1::{
    self, batch_spec::Definition as WireDefinition, batch_spec::ParametersForm,
    item_template::PayloadForm, job_spec::Work as WireWork,
};
use headway_domain::{
    PartitionId,
    jobs::{BatchSpec, FailurePolicy, JobSpec, TaskSpec, Tolerance, Work},
    retries::RetryPolicy,
};
use headway_splitters::Definition;
use headway_store::StoreError;
use serde_json::Value as Json;

use super::{retention, waiting};
use crate::grpc::{
    job_types,
    values::{int, millis, narrow},
};

/// A spec without what lists and watches leave out: payload or definition, parameters of a job
/// type, and prerequisites.
pub(crate) fn summary(spec: &JobSpec) -> v1::JobSpec {
    let work = match &spec.work {
        Work::Task(task) => WireWork::Task(self::task(task)),
        Work::Batch(batch) => WireWork::Batch(self::batch(batch)),
    };
    v1::JobSpec {
        display_name: spec.display_name.clone(),
        description: spec.description.clone(),
        labels: pairs(&spec.labels),
        work: Some(work),
        failure_policy: Some(failure_policy(&spec.failure_policy)),
        retry_policy: Some(retry_policy(&spec.retry_policy)),
        item_timeout: (spec.item_timeout_ms > 0).then(|| millis(spec.item_timeout_ms)),
        max_in_flight: narrow(spec.max_in_flight),
        items_per_message: narrow(spec.items_per_message),
        result_pipe: spec
            .result_pipe
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        prerequisites: Vec::new(),
        on_prerequisite_failure: waiting::wire_policy(spec.on_prerequisite_failure).into(),
        start: waiting::wire_start(spec.start),
        deadline: waiting::wire_deadline(spec.deadline),
        retention: retention::wire(&spec.retention),
        priority: Some(narrow(spec.priority)),
        job_type: spec
            .job_type
            .as_ref()
            .map(|used| job_types::wire(used, false)),
    }
}

/// A stored spec with the body that is stored apart.
///
/// # Errors
/// [`StoreError::Broken`] if the stored body is not what this version writes.
pub(crate) fn stored(spec: &JobSpec, body: &[u8]) -> Result<v1::JobSpec, StoreError> {
    let mut wire = summary(spec);
    add_body(&mut wire, body)?;
    wire.job_type = spec
        .job_type
        .as_ref()
        .map(|used| job_types::wire(used, true));
    Ok(wire)
}

/// A spec with everything that its client sent, before the store has looked at its prerequisites.
///
/// # Errors
/// As [`stored`].
pub(crate) fn requested(
    partition: &PartitionId,
    checked: &JobSpec,
) -> Result<v1::JobSpec, StoreError> {
    let mut wire = stored(checked, checked.body())?;
    wire.prerequisites = waiting::wire_requested(partition, &checked.prerequisites);
    Ok(wire)
}

fn add_body(spec: &mut v1::JobSpec, body: &[u8]) -> Result<(), StoreError> {
    match &mut spec.work {
        Some(WireWork::Task(task)) => body.clone_into(&mut task.payload),
        Some(WireWork::Batch(batch)) => {
            let definition =
                Definition::decode(body).map_err(|error| StoreError::Broken(error.to_string()))?;
            batch.definition = Some(match definition {
                Definition::Json(json) => WireDefinition::JsonText(json.to_string()),
                Definition::Data(data) => WireDefinition::Data(data.into()),
            });
        }
        None => {}
    }
    Ok(())
}

fn task(task: &TaskSpec) -> v1::TaskSpec {
    v1::TaskSpec {
        pipe: task.pipe.to_string(),
        r#type: task.task_type.clone(),
        payload: Vec::new(),
        content_type: task.content_type.clone(),
        headers: pairs(&task.headers),
    }
}

fn batch(batch: &BatchSpec) -> v1::BatchSpec {
    v1::BatchSpec {
        splitter: batch.splitter.clone(),
        definition: None,
        parameters_form: parameters(&batch.parameters),
        item: Some(v1::ItemTemplate {
            pipe: batch.pipe.to_string(),
            r#type: batch.task_type.clone(),
            payload_form: batch
                .payload
                .as_ref()
                .map(|payload| PayloadForm::PayloadJsonText(payload.to_string())),
            headers: pairs(&batch.headers),
        }),
    }
}

/// None where there are none.
fn parameters(parameters: &Json) -> Option<ParametersForm> {
    match parameters {
        Json::Object(_) => Some(ParametersForm::ParametersJsonText(parameters.to_string())),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => None,
    }
}

fn failure_policy(policy: &FailurePolicy) -> v1::FailurePolicy {
    use v1::failure_policy::{OnExceeded, Tolerance as WireTolerance};
    let tolerance = match policy.tolerance {
        Tolerance::Items(items) => WireTolerance::MaxFailedItems(int(items)),
        Tolerance::Percentage(percent) => WireTolerance::MaxFailedPercentage(percent),
    };
    let on_exceeded = if policy.stop {
        OnExceeded::Stop
    } else {
        OnExceeded::Continue
    };
    v1::FailurePolicy {
        tolerance: Some(tolerance),
        on_exceeded: on_exceeded.into(),
    }
}

fn retry_policy(policy: &RetryPolicy) -> v1::RetryPolicy {
    v1::RetryPolicy {
        max_attempts: narrow(policy.max_attempts),
        initial_backoff: Some(millis(policy.initial_ms)),
        max_backoff: Some(millis(policy.max_ms)),
        multiplier: policy.multiplier,
        jitter: Some(policy.jitter),
    }
}

fn pairs(map: &BTreeMap<String, String>) -> HashMap<String, String> {
    map.iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}
