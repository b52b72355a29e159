//! Job files: a JobSpec, or a CreateJobRequest, as YAML or JSON with the contract's field names in
//! snake_case or camelCase. Errors name the field by its path.

use headway::v1::CreateJobRequest;
use headway_client::json_to_value;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};
use serde::de::DeserializeSeed;
use serde_json::{Map, Value as Json};

use crate::{
    document::{Document, descriptor},
    yaml,
};

/// The longest value that an error quotes, in bytes.
const SHORT: usize = 40;

/// Reads a job file.
///
/// # Errors
/// Says what is wrong with the text: its syntax, or a field by its path.
pub fn parse(text: &str) -> Result<CreateJobRequest, String> {
    // What begins like JSON is read as such first, for its better messages; YAML may begin so too.
    let json: Json = match text.trim_start().starts_with('{') {
        true => serde_json::from_str(text)
            .or_else(|error| yaml::read(text).map_err(|_| error.to_string()))?,
        false => yaml::read(text)?,
    };
    let Json::Object(fields) = &json else {
        return Err("a job is an object with fields such as `task` or `batch`".to_owned());
    };
    if fields.contains_key("spec") {
        return message(fields);
    }
    Ok(CreateJobRequest {
        spec: Some(message(fields)?),
        ..CreateJobRequest::default()
    })
}

fn message<M: Document>(fields: &Map<String, Json>) -> Result<M, String> {
    let descriptor = descriptor::<M>().map_err(|error| error.to_string())?;
    check(&descriptor, fields, "")?;
    read(&descriptor, fields)?
        .transcode_to()
        .map_err(|error| error.to_string())
}

fn read(
    descriptor: &MessageDescriptor,
    fields: &Map<String, Json>,
) -> Result<DynamicMessage, String> {
    let seed = descriptor.clone();
    seed.deserialize(Json::Object(fields.clone()))
        .map_err(|error| error.to_string())
}

/// Checks each field by itself, so that an error can name it.
fn check(
    descriptor: &MessageDescriptor,
    fields: &Map<String, Json>,
    path: &str,
) -> Result<(), String> {
    for (key, value) in fields {
        let field = descriptor
            .get_field_by_json_name(key)
            .or_else(|| descriptor.get_field_by_name(key));
        let path = match path {
            "" => key.clone(),
            _ => format!("{path}.{key}"),
        };
        let Some(field) = field else {
            let names: Vec<_> = descriptor
                .fields()
                .map(|field| field.name().to_owned())
                .collect();
            return Err(format!(
                "{path}: unknown field; known here: {}",
                names.join(", ")
            ));
        };
        let nested = match field.kind() {
            Kind::Message(nested) if !field.is_list() && !field.is_map() => Some(nested),
            _ => None,
        };
        match (nested, value) {
            (_, Json::Null) => {}
            (Some(nested), value)
                if nested.full_name() == "google.protobuf.Value"
                    || nested.full_name() == "google.protobuf.Struct" =>
            {
                json_to_value(value).map_err(|error| format!("{path}: {error}"))?;
            }
            (Some(nested), Json::Object(fields)) => {
                check(&nested, fields, &path)?;
                continue;
            }
            (_, _) => {}
        }
        let alone = Map::from_iter([(key.clone(), value.clone())]);
        read(descriptor, &alone).map_err(|error| match value.to_string() {
            short if short.len() <= SHORT => format!("{path}: {short}: {error}"),
            _ => format!("{path}: {error}"),
        })?;
    }
    // What is left are rules between fields, such as two members of one oneof.
    match read(descriptor, fields) {
        Ok(_) => Ok(()),
        Err(error) if path.is_empty() => Err(error),
        Err(error) => Err(format!("{path}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headway::v1::{batch::Definition, failure_policy::OnExceeded, job_spec::Work};
    use headway_client::value_to_json;
    use serde_json::json;

    const YAML: &str = "
display_name: Export
labels: {team: docs}
batch:
  splitter: files
  json: {root: /usr/share/doc, group: 20}
  item:
    pipe: documents.export
    payload: {paths: '{{item}}'}
failurePolicy:
  max_failed_items: 3
  onExceeded: ON_EXCEEDED_STOP
itemTimeout: 90s
max_in_flight: 500
";

    #[test]
    fn both_spellings_of_fields_are_read() {
        let request = parse(YAML).expect("a valid file");
        let spec = request.spec.expect("a spec");
        assert_eq!(spec.display_name, "Export");
        assert_eq!(spec.max_in_flight, 500);
        assert_eq!(spec.item_timeout.map(|limit| limit.seconds), Some(90));
        let policy = spec.failure_policy.unwrap_or_default();
        assert_eq!(policy.on_exceeded(), OnExceeded::Stop);
        let Some(Work::Batch(batch)) = spec.work else {
            panic!("the file has a batch")
        };
        let Some(Definition::Json(definition)) = &batch.definition else {
            panic!("the definition is JSON")
        };
        assert_eq!(
            value_to_json(definition),
            json!({"root": "/usr/share/doc", "group": 20})
        );
    }

    #[test]
    fn a_request_holds_a_spec() {
        let text = r#"{"parent": "partitions/p", "jobId": "j", "spec": {"task": {"pipe": "mail", "payload": "aGk="}}}"#;
        let request = parse(text).expect("a valid file");
        assert_eq!(
            (request.parent.as_str(), request.job_id.as_str()),
            ("partitions/p", "j")
        );
        let Some(Work::Task(task)) = request.spec.and_then(|spec| spec.work) else {
            panic!("the file has a task")
        };
        assert_eq!(task.payload, b"hi");
    }

    #[test]
    fn errors_name_the_field() {
        for (text, path, why) in [
            (
                "batch: {spliter: files}",
                "batch.spliter",
                "unknown field; known here: splitter",
            ),
            ("spec: {tusk: {}}", "spec.tusk", "unknown field"),
            (
                "batch: {item: {payload: {id: 9007199254740993}}}",
                "batch.item.payload",
                "cannot be carried exactly",
            ),
            ("max_in_flight: many", "max_in_flight", "many"),
            ("item_timeout: soon", "item_timeout", ""),
            ("task: 5", "task", ""),
            ("task: {payload: 'no base64!'}", "task.payload", ""),
            (
                "failure_policy: {on_exceeded: EXPLODE}",
                "failure_policy.on_exceeded",
                "EXPLODE",
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert!(
                error.starts_with(path) && error.contains(why),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn other_faults_are_found_too() {
        for (text, why) in [
            ("{\"task\": ", "EOF"),
            ("- a\n- b", "a job is an object"),
            ("", "a job is an object"),
            ("{task: {pipe: a}, batch: {splitter: b}}", "work"),
            ("task: {}\nbatch: {}", "work"),
            ("a: 1\na: 2", ""),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}
