//! Job files: a JobSpec, or a CreateJobRequest, as YAML or JSON with the contract's field names in
//! snake_case or camelCase. Errors name the field by its path.

use headway::v1::CreateJobRequest;
use headway_job_types::{spec, yaml};
use serde_json::{Map, Value as Json};

use crate::document::Document;

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
    request(&json)
}

/// Reads a job that is JSON already.
///
/// # Errors
/// See [`parse`].
pub fn request(json: &Json) -> Result<CreateJobRequest, String> {
    let Json::Object(fields) = json else {
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
    spec::message(M::NAME, fields)
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
