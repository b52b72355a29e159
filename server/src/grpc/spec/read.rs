//! A job's spec from the wire: checked, with every default filled in.

use std::{collections::BTreeSet, time::Duration};

use headway::v1::{
    self,
    batch_spec::{Definition as WireDefinition, ParametersForm},
    failure_policy::{OnExceeded, Tolerance as WireTolerance},
    item_template::PayloadForm,
    job_spec::Work as WireWork,
};
use headway_domain::{
    Error, PartitionId, PipeName,
    bulk::RESERVED,
    limits,
    spec::{BatchSpec, FailurePolicy, JobSpec, RetryPolicy, TaskSpec, Tolerance, TypeUse, Work},
};
use headway_splitters::{Definition, Registry, SplitError, template::Template};
use prost::Message;
use serde_json::Value as Json;

use super::{json, retention, waiting};
use crate::grpc::{values::duration, violations::Violations};

/// Bytes of an encoded spec: what is accepted can be read again by a client that takes 4 MiB at most.
pub(crate) const SPEC_BYTES: usize = 3 * 1024 * 1024;

/// The splitters that requests are checked against.
#[derive(Debug, Clone, Default)]
pub(crate) struct Splitters {
    /// The names that are allowed; `None` for any.
    pub(crate) names: Option<BTreeSet<String>>,
    /// Those that can check a definition.
    pub(crate) registry: Option<Registry>,
}

/// The spec of a request.
///
/// # Errors
/// [`Error::Invalid`] that names every field that is wrong, as a path from the request.
pub(crate) fn spec(
    partition: Option<&PartitionId>,
    spec: Option<v1::JobSpec>,
    splitters: &Splitters,
) -> Result<JobSpec, Error> {
    let Some(spec) = spec else {
        return Err(Error::field("spec", "must be set"));
    };
    let size = spec.encoded_len();
    let mut violations = Violations::default();
    let converted = convert(partition, spec, splitters, &mut violations);
    // What is wrong below is named first: a payload that is too large is the cause of a spec that is.
    violations.finish()?;
    let converted = converted.ok_or_else(|| Error::field("spec", "must be set"))?;
    converted.validate()?;
    if size > SPEC_BYTES {
        return Err(Error::field(
            "spec",
            format!("must be at most {SPEC_BYTES} bytes when encoded, and has {size}"),
        ));
    }
    Ok(converted)
}

/// As [`spec`], of which a job type may have made the work.
///
/// # Errors
/// As [`spec`].
pub(crate) fn spec_of(
    partition: Option<&PartitionId>,
    wire: Option<v1::JobSpec>,
    made_by: Option<TypeUse>,
    splitters: &Splitters,
) -> Result<JobSpec, Error> {
    let mut spec = spec(partition, wire, splitters)?;
    spec.job_type = made_by;
    spec.validate()?;
    Ok(spec)
}

fn convert(
    partition: Option<&PartitionId>,
    spec: v1::JobSpec,
    splitters: &Splitters,
    violations: &mut Violations,
) -> Option<JobSpec> {
    let work = match spec.work {
        Some(WireWork::Task(task)) => self::task(task, violations),
        Some(WireWork::Batch(batch)) => self::batch(batch, splitters, violations),
        None => {
            violations.push(
                "spec.work",
                "must be set: task or batch, or a job_type that makes one",
            );
            None
        }
    };
    let result_pipe = if spec.result_pipe.is_empty() {
        None
    } else {
        pipe("spec.result_pipe", spec.result_pipe, violations)
    };
    let failure_policy = failure_policy(spec.failure_policy.unwrap_or_default(), violations);
    let retry_policy = retry_policy(spec.retry_policy.unwrap_or_default(), violations);
    let prerequisites = waiting::prerequisites(partition, spec.prerequisites, violations);
    let on_prerequisite_failure = waiting::policy(spec.on_prerequisite_failure, violations);
    let start = waiting::start(spec.start, violations);
    let deadline = waiting::deadline(spec.deadline, violations);
    let retention = retention::read("spec.retention", spec.retention, violations);
    let priority = priority(spec.priority, violations);
    let item_timeout = millis("spec.item_timeout", spec.item_timeout, violations);
    let max_in_flight = count(
        "spec.max_in_flight",
        spec.max_in_flight,
        limits::DEFAULT_WINDOW,
        limits::MAX_WINDOW,
        violations,
    );
    let items_per_message = count(
        "spec.items_per_message",
        spec.items_per_message,
        1,
        limits::MAX_ITEMS_PER_MESSAGE,
        violations,
    );
    Some(JobSpec {
        display_name: spec.display_name,
        description: spec.description,
        labels: spec.labels.into_iter().collect(),
        work: work?,
        failure_policy,
        retry_policy,
        item_timeout_ms: item_timeout.unwrap_or(0),
        max_in_flight,
        items_per_message,
        result_pipe,
        prerequisites,
        on_prerequisite_failure,
        start,
        deadline,
        retention,
        priority,
        // Whoever lets a type make the work says so.
        job_type: None,
    })
}

fn task(task: v1::TaskSpec, violations: &mut Violations) -> Option<Work> {
    Some(Work::Task(TaskSpec {
        pipe: pipe("spec.task.pipe", task.pipe, violations)?,
        task_type: task.r#type,
        payload: task.payload,
        content_type: task.content_type,
        headers: task.headers.into_iter().collect(),
    }))
}

fn batch(batch: v1::BatchSpec, splitters: &Splitters, violations: &mut Violations) -> Option<Work> {
    let parameters = parameters(batch.parameters_form, violations);
    let definition = definition(batch.definition, violations);
    if let (Some(definition), Some(parameters)) = (&definition, &parameters) {
        check_splitter(
            &batch.splitter,
            definition,
            parameters,
            splitters,
            violations,
        );
    }
    let Some(item) = batch.item else {
        violations.push(
            "spec.batch.item",
            "must be set: it says what each item becomes",
        );
        return None;
    };
    let payload = template(item.payload_form, violations);
    let pipe = pipe("spec.batch.item.pipe", item.pipe, violations);
    Some(Work::Batch(BatchSpec {
        splitter: batch.splitter,
        definition: definition?.encode(),
        parameters: parameters?,
        pipe: pipe?,
        task_type: item.r#type,
        payload,
        headers: item.headers.into_iter().collect(),
    }))
}

fn parameters(wire: Option<ParametersForm>, violations: &mut Violations) -> Option<Json> {
    let (field, read) = match wire {
        None => return Some(Json::Null),
        Some(ParametersForm::Parameters(object)) => ("parameters", json::from_struct(object)),
        Some(ParametersForm::ParametersJsonText(text)) => (
            "parameters_json_text",
            json::object_from_text(&text, limits::MAX_TEMPLATE_BYTES),
        ),
    };
    read.map_err(|why| violations.push(format!("spec.batch.{field}"), why))
        .ok()
}

fn definition(
    definition: Option<WireDefinition>,
    violations: &mut Violations,
) -> Option<Definition> {
    const FIELD: &str = "spec.batch.definition";
    let definition = match definition {
        Some(WireDefinition::Json(value)) => match json::from_value(value) {
            Ok(json) => Definition::Json(json),
            Err(why) => {
                violations.push(FIELD, why);
                return None;
            }
        },
        Some(WireDefinition::JsonText(text)) => {
            match json::from_text(&text, limits::MAX_PAYLOAD_BYTES) {
                Ok(json) => Definition::Json(json),
                Err(why) => {
                    violations.push("spec.batch.json_text", why);
                    return None;
                }
            }
        }
        Some(WireDefinition::Data(data)) => Definition::Data(data.into()),
        None => {
            violations.push(FIELD, "must be set: json, json_text or data");
            return None;
        }
    };
    let size = match &definition {
        Definition::Json(json) => json.to_string().len(),
        Definition::Data(data) => data.len(),
    };
    if size > limits::MAX_PAYLOAD_BYTES {
        violations.push(
            FIELD,
            format!(
                "must be at most {} bytes, and has {size}",
                limits::MAX_PAYLOAD_BYTES
            ),
        );
        return None;
    }
    Some(definition)
}

fn check_splitter(
    name: &str,
    definition: &Definition,
    parameters: &Json,
    splitters: &Splitters,
    violations: &mut Violations,
) {
    if name.starts_with(RESERVED) {
        let why = format!("must not begin with {RESERVED:?}: those are Headway's own");
        violations.push("spec.batch.splitter", why);
        return;
    }
    if let Some(names) = &splitters.names
        && !names.contains(name)
    {
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        violations.push(
            "spec.batch.splitter",
            format!("must be one of {}", known.join(", ")),
        );
        return;
    }
    let splitter = splitters
        .registry
        .as_ref()
        .and_then(|registry| registry.get(name));
    let Some(splitter) = splitter else { return };
    match headway_splitters::check(&*splitter, definition, parameters) {
        // A passing fault says nothing about the definition.
        Ok(_) | Err(SplitError::Transient(_)) => {}
        Err(SplitError::Invalid(why)) => violations.push(
            "spec.batch.definition",
            format!("is refused by splitter {name}: {why}"),
        ),
    }
}

fn template(payload: Option<PayloadForm>, violations: &mut Violations) -> Option<Json> {
    const FIELD: &str = "spec.batch.item.payload";
    let (field, read) = match payload? {
        PayloadForm::Payload(value) => (FIELD, json::from_value(value)),
        PayloadForm::PayloadJsonText(text) => (
            "spec.batch.item.payload_json_text",
            json::from_text(&text, limits::MAX_TEMPLATE_BYTES),
        ),
    };
    let payload = match read {
        Ok(payload) => payload,
        Err(why) => {
            violations.push(field, why);
            return None;
        }
    };
    if payload.is_null() {
        violations.push(
            FIELD,
            "must not be null; leave it out for the item as it was found",
        );
        return None;
    }
    if let Err(error) = Template::parse(Some(&payload)) {
        violations.push(FIELD, format!("must be a valid template: {error}"));
        return None;
    }
    Some(payload)
}

/// A priority; none for the default.
pub(crate) fn priority(wire: Option<i32>, violations: &mut Violations) -> u32 {
    let Some(wire) = wire else {
        return limits::DEFAULT_PRIORITY;
    };
    let priority = u32::try_from(wire).ok();
    priority
        .filter(|priority| *priority <= limits::MAX_PRIORITY)
        .unwrap_or_else(|| {
            violations.push(
                "spec.priority",
                format!("must be 0 to {}, not {wire}", limits::MAX_PRIORITY),
            );
            limits::DEFAULT_PRIORITY
        })
}

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

fn retry_policy(policy: v1::RetryPolicy, violations: &mut Violations) -> RetryPolicy {
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
    finite("spec.retry_policy.jitter", policy.jitter, violations);
    let multiplier = if policy.multiplier == 0.0 {
        usual.multiplier
    } else {
        policy.multiplier
    };
    let jitter = if policy.jitter == 0.0 {
        usual.jitter
    } else {
        policy.jitter.max(0.0)
    };
    RetryPolicy {
        max_attempts: attempts,
        initial_ms: initial.unwrap_or(usual.initial_ms),
        max_ms: max.unwrap_or(usual.max_ms),
        multiplier,
        jitter,
    }
}

fn pipe(field: &str, name: String, violations: &mut Violations) -> Option<PipeName> {
    violations.check(!name.starts_with(RESERVED), field, || {
        format!("must not begin with {RESERVED:?}: those are Headway's own")
    });
    violations.take(PipeName::new(name).map_err(|error| error.renamed(field)))
}

/// A number from 1, where 0 stands for the default.
pub(crate) fn count(
    field: &str,
    number: i32,
    usual: u32,
    most: u32,
    violations: &mut Violations,
) -> u32 {
    match u32::try_from(number) {
        Ok(0) => usual,
        Ok(number) if number <= most => number,
        Ok(_) | Err(_) => {
            violations.push(field, format!("must be 1 to {most}, not {number}"));
            usual
        }
    }
}

/// A length of time in whole milliseconds, rounded up.
fn millis(
    field: &str,
    wire: Option<prost_types::Duration>,
    violations: &mut Violations,
) -> Option<u64> {
    let longest = Duration::from_millis(limits::MAX_DURATION_MS);
    let fits = |time: &Duration| *time >= Duration::from_millis(1) && *time <= longest;
    match duration(wire?).filter(fits) {
        Some(time) => u64::try_from(time.as_nanos().div_ceil(1_000_000)).ok(),
        None => {
            violations.push(field, "must be 1 ms to 7 days");
            None
        }
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
