//! Job files: a JobSpec, or a CreateJobRequest, as YAML or JSON with the contract's field names in
//! snake_case or camelCase. Errors name the field by its path.
//!
//! The payload of a task is what the file says: a text as it is, any other value as JSON. Bytes are
//! given in base64, as `payload_base64`. A job as `get -o yaml` prints it can be submitted again;
//! its payload is in base64 as the contract has it.

use base64::{Engine, prelude::BASE64_STANDARD};
use headway::v1::{CreateJobRequest, Job};
use headway_job_types::{spec, yaml};
use serde_json::{Map, Value as Json};

use crate::output::document::Document;

/// Reads a job file.
///
/// # Errors
/// Says what is wrong with the text: its syntax, or a field by its path.
pub(crate) fn parse(text: &str) -> Result<CreateJobRequest, String> {
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
pub(crate) fn request(json: &Json) -> Result<CreateJobRequest, String> {
    let Json::Object(fields) = json else {
        return Err("a job is an object with fields such as `task` or `batch`".to_owned());
    };
    if fields.contains_key("uid") && fields.contains_key("spec") {
        return again(fields);
    }
    let mut fields = fields.clone();
    let whole = fields.contains_key("spec");
    let (spec, path) = match fields.get_mut("spec") {
        Some(Json::Object(spec)) => (spec, "spec.task"),
        Some(_) => return message(&fields),
        None => (&mut fields, "task"),
    };
    if let Some(Json::Object(task)) = spec.get_mut("task") {
        encode_payload(task).map_err(|why| format!("{path}.{why}"))?;
    }
    match whole {
        true => message(&fields),
        false => Ok(CreateJobRequest {
            spec: Some(message(&fields)?),
            ..CreateJobRequest::default()
        }),
    }
}

/// The request that makes a job like one that was printed, under an id of its own.
fn again(fields: &Map<String, Json>) -> Result<CreateJobRequest, String> {
    let job: Job = message(fields)?;
    let mut spec = job.spec.unwrap_or_default();
    if spec.job_type.is_some() {
        // What a type made is made again.
        spec.work = None;
    }
    for needed in &mut spec.prerequisites {
        needed.state = 0;
    }
    let parent = job.name.rsplit_once("/jobs/");
    Ok(CreateJobRequest {
        parent: parent.map_or_else(String::new, |(parent, _)| parent.to_owned()),
        spec: Some(spec),
        ..CreateJobRequest::default()
    })
}

/// Turns the payload of a task into the contract's form, which is base64.
fn encode_payload(task: &mut Map<String, Json>) -> Result<(), String> {
    let bytes = task.remove("payload_base64");
    let bytes = bytes.or_else(|| task.remove("payloadBase64"));
    let said = task.remove("payload").filter(|value| !value.is_null());
    let payload = match (said, bytes) {
        (None, None) => return Ok(()),
        (Some(_), Some(_)) => {
            return Err(
                "payload: give a value, or bytes in base64 as payload_base64, not both".to_owned(),
            );
        }
        (None, Some(bytes)) => match bytes {
            Json::String(text) if BASE64_STANDARD.decode(&text).is_ok() => text,
            _ => return Err("payload_base64: must be bytes in base64".to_owned()),
        },
        (Some(Json::String(text)), None) => BASE64_STANDARD.encode(text),
        (Some(value), None) => {
            if !task.contains_key("content_type") && !task.contains_key("contentType") {
                task.insert("content_type".to_owned(), "application/json".into());
            }
            BASE64_STANDARD.encode(value.to_string())
        }
    };
    task.insert("payload".to_owned(), Json::String(payload));
    Ok(())
}

fn message<M: Document>(fields: &Map<String, Json>) -> Result<M, String> {
    spec::message(M::NAME, fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use headway::v1::{
        batch_spec::Definition, failure_policy::OnExceeded, item_template::PayloadForm,
        job_spec::Work,
    };
    use headway_client::value_to_json;
    use serde_json::json;

    use crate::output::document::{Layout, render};

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
        let text = r#"{"parent": "partitions/p", "jobId": "j", "spec": {"task": {"pipe": "mail", "payload": "hi"}}}"#;
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
    fn payloads_are_what_the_file_says() {
        for (text, payload, content_type) in [
            ("task: {payload: test}", "test", ""),
            ("task: {payload: aGk=}", "aGk=", ""),
            ("task: {payload: {a: 1}}", r#"{"a":1}"#, "application/json"),
            ("task: {payload: [1, x]}", r#"[1,"x"]"#, "application/json"),
            ("task: {payload: 7}", "7", "application/json"),
            (
                "task: {payload: {a: 1}, contentType: text/x}",
                r#"{"a":1}"#,
                "text/x",
            ),
            ("task: {payload_base64: aGk=}", "hi", ""),
            ("spec: {task: {payload: test}}", "test", ""),
            ("task: {payload: null}", "", ""),
        ] {
            let request = parse(text).expect(text);
            let Some(Work::Task(task)) = request.spec.and_then(|spec| spec.work) else {
                panic!("{text}: the file has a task")
            };
            let seen = (task.payload.as_slice(), task.content_type.as_str());
            assert_eq!(seen, (payload.as_bytes(), content_type), "{text}");
        }
    }

    #[test]
    fn a_printed_job_can_be_submitted() {
        let spec = parse("task: {pipe: mail, payload: hi}\nprerequisites: [{job: a}]")
            .expect("a valid file")
            .spec;
        let job = Job {
            name: "partitions/jobs/jobs/j".to_owned(),
            uid: "0c8ee6ae-6c7c-4a62-8a0f-0a2f5c1c1a11".to_owned(),
            spec: spec.clone(),
            revision: 7,
            ..Job::default()
        };
        for layout in [Layout::Yaml, Layout::Json] {
            let text = render(&job, layout).expect("a document");
            let request = parse(&text).expect("a job");
            assert_eq!(
                (request.parent.as_str(), request.job_id.as_str()),
                ("partitions/jobs", "")
            );
            assert_eq!(request.spec, spec);
        }
    }

    #[test]
    fn a_printed_batch_can_be_submitted_and_edited() {
        let spec = parse(YAML).expect("a valid file").spec;
        let mut sent = spec.clone().expect("a spec");
        if let Some(Work::Batch(batch)) = &mut sent.work {
            // As the server has it.
            let text = r#"{"group":20,"root":"/usr/share/doc"}"#.to_owned();
            batch.definition = Some(Definition::JsonText(text));
            let item = batch.item.get_or_insert_default();
            let text = r#"{"paths":"{{item}}"}"#.to_owned();
            item.payload_form = Some(PayloadForm::PayloadJsonText(text));
        }
        let job = Job {
            name: "partitions/p/jobs/j".to_owned(),
            uid: "0c8ee6ae-6c7c-4a62-8a0f-0a2f5c1c1a11".to_owned(),
            spec: Some(sent),
            ..Job::default()
        };
        for layout in [Layout::Yaml, Layout::Json] {
            let text = render(&job, layout).expect("a document");
            assert!(text.contains("root") && !text.contains("Text"), "{text}");
            assert_eq!(parse(&text).expect("a job").spec, spec);
        }
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
            (
                "task: {payload_base64: 'no base64!'}",
                "task.payload_base64",
                "base64",
            ),
            (
                "spec: {task: {payload: a, payloadBase64: aGk=}}",
                "spec.task.payload",
                "not both",
            ),
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
