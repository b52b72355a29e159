//! The API's messages as documents in the proto3 JSON mapping, by the contract's own descriptors.
//! JSON values, which responses have as text, are part of the document, as in a job file.

use std::io;

use headway_client::{json_to_struct, json_to_value};
use headway_job_types::spec;
use prost::Message;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, ReflectMessage, Value};

use crate::{Console, args::Format};

/// A message of the API that can be a document.
pub(crate) trait Document: Message + Default {
    /// The message's full name.
    const NAME: &'static str;
}

macro_rules! documents {
    ($($message:ident),*) => {
        $(impl Document for headway::v1::$message {
            const NAME: &'static str = concat!("headway.v1.", stringify!($message));
        })*
    };
}

documents!(
    Job,
    JobSpec,
    CreateJobRequest,
    ListJobsResponse,
    ListFailuresResponse,
    AuditEvent,
    ListEventsResponse,
    ListBatchesResponse,
    ListPipesResponse,
    ExplainJobResponse,
    ChangeJobsResponse,
    BatchCreateJobsResult,
    CountJobsResponse,
    Schedule,
    ListSchedulesResponse,
    Partition,
    ListSuspendedPartitionsResponse,
    PipeLimits,
    ListPipeLimitsResponse,
    Failure,
    ListDeadLettersResponse,
    JobType,
    ListJobTypesResponse
);

/// The descriptor of a message.
pub(crate) fn descriptor<M: Document>() -> io::Result<MessageDescriptor> {
    spec::descriptor(M::NAME)
}

/// How a document is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// JSON over several lines.
    Json,
    /// JSON on one line, for streams.
    JsonLine,
    /// YAML, begun by `---`, so that several make a stream.
    Yaml,
}

/// How each message of a stream is printed.
pub(crate) fn layout(format: Format) -> Option<Layout> {
    match format {
        Format::Table => None,
        Format::Json => Some(Layout::JsonLine),
        Format::Yaml => Some(Layout::Yaml),
    }
}

/// A message as a document that ends its last line.
pub(crate) fn render<M: Document>(message: &M, layout: Layout) -> io::Result<String> {
    let mut document = DynamicMessage::new(descriptor::<M>()?);
    document.transcode_from(message).map_err(io::Error::other)?;
    nest_json(&mut document)?;
    Ok(match layout {
        Layout::Json => serde_json::to_string_pretty(&document)? + "\n",
        Layout::JsonLine => serde_json::to_string(&document)? + "\n",
        Layout::Yaml => {
            let text = serde_saphyr::to_string(&document).map_err(io::Error::other)?;
            format!("---\n{}\n", text.trim_end())
        }
    })
}

/// The fields of a message that have JSON as text, each with the field that has it as a value.
fn json_fields(message: &str) -> &'static [(&'static str, &'static str)] {
    match message {
        "headway.v1.BatchSpec" => &[
            ("json_text", "json"),
            ("parameters_json_text", "parameters"),
        ],
        "headway.v1.ItemTemplate" => &[("payload_json_text", "payload")],
        "headway.v1.JobTypeUse" => &[("parameters_json_text", "parameters")],
        _ => &[],
    }
}

/// Puts JSON values in the place of their texts. A text stays where a value would lose a number, or
/// where it is none.
fn nest_json(message: &mut DynamicMessage) -> io::Result<()> {
    let descriptor = message.descriptor();
    for (text, nested) in json_fields(descriptor.full_name()) {
        let said = match message.has_field_by_name(text) {
            true => message.get_field_by_name(text),
            false => None,
        };
        let said = said.as_deref().and_then(Value::as_str);
        let Some(Ok(json)) = said.map(serde_json::from_str::<serde_json::Value>) else {
            continue;
        };
        let kind = descriptor
            .get_field_by_name(nested)
            .map(|field| field.kind());
        let Some(Kind::Message(form)) = kind else {
            continue;
        };
        let is_struct = form.full_name() == "google.protobuf.Struct";
        let mut value = DynamicMessage::new(form);
        let done = match is_struct {
            true => json_to_struct(&json).map(|object| value.transcode_from(&object)),
            false => json_to_value(&json).map(|json| value.transcode_from(&json)),
        };
        if let Ok(transcoded) = done {
            transcoded.map_err(io::Error::other)?;
            // The text goes: both are of one oneof.
            message.set_field_by_name(nested, Value::Message(value));
        }
    }
    for (_, value) in message.fields_mut() {
        match value {
            Value::Message(inner) => nest_json(inner)?,
            Value::List(list) => {
                for value in list {
                    if let Value::Message(inner) = value {
                        nest_json(inner)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Prints a message as JSON or YAML, or else what `table` makes.
pub(crate) fn print<M: Document>(
    console: &mut Console,
    format: Format,
    message: &M,
    table: impl FnOnce(&Console) -> String,
) -> io::Result<()> {
    let text = match format {
        Format::Table => table(console),
        Format::Json => render(message, Layout::Json)?,
        Format::Yaml => render(message, Layout::Yaml)?,
    };
    console.text(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use headway::v1::{
        BatchSpec, CreateJobRequest, ItemTemplate, Job, JobProgress, JobSpec, JobState, JobTypeUse,
        ListFailuresResponse, ListJobsResponse, TaskSpec,
        batch_spec::{Definition, ParametersForm},
        item_template::PayloadForm,
        job_spec::Work,
        job_type_use,
    };
    use serde_json::{Value, json};

    fn job() -> Job {
        Job {
            name: "partitions/p/jobs/j".to_owned(),
            state: JobState::Active.into(),
            create_time: Some(prost_types::Timestamp {
                seconds: 1_772_373_909,
                nanos: 0,
            }),
            progress: Some(JobProgress {
                items_done: 5,
                percentage: 12.5,
                estimated_time_left: Some(prost_types::Duration {
                    seconds: 90,
                    nanos: 0,
                }),
                ..JobProgress::default()
            }),
            spec: Some(JobSpec {
                display_name: "no".to_owned(),
                work: Some(Work::Task(TaskSpec {
                    payload: vec![0, 255],
                    ..TaskSpec::default()
                })),
                ..JobSpec::default()
            }),
            ..Job::default()
        }
    }

    fn expected() -> Value {
        json!({
            "name": "partitions/p/jobs/j",
            "state": "JOB_STATE_ACTIVE",
            "createTime": "2026-03-01T14:05:09Z",
            "progress": {"itemsDone": "5", "percentage": 12.5, "estimatedTimeLeft": "90s"},
            "spec": {"displayName": "no", "task": {"payload": "AP8="}},
        })
    }

    #[test]
    fn every_document_is_in_the_contract() -> io::Result<()> {
        for descriptor in [
            descriptor::<Job>()?,
            descriptor::<JobSpec>()?,
            descriptor::<CreateJobRequest>()?,
            descriptor::<ListJobsResponse>()?,
            descriptor::<ListFailuresResponse>()?,
        ] {
            assert!(descriptor.fields().len() > 0, "{}", descriptor.full_name());
        }
        Ok(())
    }

    #[test]
    fn json_follows_the_mapping() -> io::Result<()> {
        let text = render(&job(), Layout::Json)?;
        assert_eq!(serde_json::from_str::<Value>(&text)?, expected());
        let line = render(&job(), Layout::JsonLine)?;
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(serde_json::from_str::<Value>(&line)?, expected());
        Ok(())
    }

    #[test]
    fn json_values_are_part_of_the_document() -> io::Result<()> {
        let item = ItemTemplate {
            payload_form: Some(PayloadForm::PayloadJsonText("[true, null]".to_owned())),
            ..ItemTemplate::default()
        };
        let batch = |definition: &str| BatchSpec {
            definition: Some(Definition::JsonText(definition.to_owned())),
            parameters_form: Some(ParametersForm::ParametersJsonText("{\"a\": 1}".to_owned())),
            item: Some(item.clone()),
            ..BatchSpec::default()
        };
        let spec = |definition: &str| JobSpec {
            work: Some(Work::Batch(batch(definition))),
            labels: [("jsonText".to_owned(), "[1]".to_owned())].into(),
            job_type: Some(JobTypeUse {
                parameters_form: Some(job_type_use::ParametersForm::ParametersJsonText(
                    "{\"to\": 7}".to_owned(),
                )),
                ..JobTypeUse::default()
            }),
            ..JobSpec::default()
        };
        let jobs = ListJobsResponse {
            jobs: [r#"{"from": 0}"#, "[9007199254740993]"]
                .map(|definition| Job {
                    spec: Some(spec(definition)),
                    ..Job::default()
                })
                .into(),
            ..ListJobsResponse::default()
        };
        let read: Value = serde_json::from_str(&render(&jobs, Layout::Json)?)?;
        let first = &read["jobs"][0]["spec"];
        assert_eq!(first["batch"]["json"]["from"].as_f64(), Some(0.0));
        assert_eq!(first["batch"]["jsonText"], Value::Null);
        assert_eq!(first["batch"]["parameters"]["a"].as_f64(), Some(1.0));
        assert_eq!(first["batch"]["item"]["payload"], json!([true, null]));
        assert_eq!(first["jobType"]["parameters"]["to"].as_f64(), Some(7.0));
        assert_eq!(first["labels"]["jsonText"], "[1]");
        // What a value would change stays text.
        let second = &read["jobs"][1]["spec"]["batch"];
        assert_eq!(second["jsonText"], "[9007199254740993]");
        assert_eq!(second["json"], Value::Null);
        Ok(())
    }

    #[test]
    fn yaml_says_the_same() -> io::Result<()> {
        let text = render(&job(), Layout::Yaml)?;
        let read: Value = serde_saphyr::from_str(&text).map_err(io::Error::other)?;
        assert_eq!(read, expected(), "{text}");
        assert!(text.starts_with("---\n") && text.ends_with('\n'));
        Ok(())
    }
}
