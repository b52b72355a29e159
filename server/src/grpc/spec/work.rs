//! The work of a job's spec from the wire: a task, or a batch with its definition and template.

use std::collections::BTreeSet;

use headway::v1::{
    self,
    batch_spec::{Definition as WireDefinition, ParametersForm},
    item_template::PayloadForm,
};
use headway_domain::{
    PipeName,
    jobs::{BatchSpec, TaskSpec, Work, bulk::RESERVED},
    limits,
};
use headway_splitters::{Definition, Registry, SplitError, template::Template};
use serde_json::Value as Json;

use super::json;
use crate::grpc::violations::Violations;

/// The splitters that requests are checked against.
#[derive(Debug, Clone, Default)]
pub(crate) struct Splitters {
    /// The names that are allowed; `None` for any.
    pub(crate) names: Option<BTreeSet<String>>,
    /// Those that can check a definition.
    pub(crate) registry: Option<Registry>,
}

pub(super) fn task(task: v1::TaskSpec, violations: &mut Violations) -> Option<Work> {
    Some(Work::Task(TaskSpec {
        pipe: pipe("spec.task.pipe", task.pipe, violations)?,
        task_type: task.r#type,
        payload: task.payload,
        content_type: task.content_type,
        headers: task.headers.into_iter().collect(),
    }))
}

pub(super) fn batch(
    batch: v1::BatchSpec,
    splitters: &Splitters,
    violations: &mut Violations,
) -> Option<Work> {
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

pub(super) fn pipe(field: &str, name: String, violations: &mut Violations) -> Option<PipeName> {
    violations.check(!name.starts_with(RESERVED), field, || {
        format!("must not begin with {RESERVED:?}: those are Headway's own")
    });
    violations.take(PipeName::new(name).map_err(|error| error.renamed(field)))
}
