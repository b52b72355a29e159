//! The API's messages as documents in the proto3 JSON mapping, by the contract's own descriptors.

use std::io;

use headway_job_types::spec;
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};

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
    Ok(match layout {
        Layout::Json => serde_json::to_string_pretty(&document)? + "\n",
        Layout::JsonLine => serde_json::to_string(&document)? + "\n",
        Layout::Yaml => {
            let text = serde_saphyr::to_string(&document).map_err(io::Error::other)?;
            format!("---\n{}\n", text.trim_end())
        }
    })
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
        CreateJobRequest, Job, JobProgress, JobSpec, JobState, ListFailuresResponse,
        ListJobsResponse, TaskSpec, job_spec::Work,
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
    fn yaml_says_the_same() -> io::Result<()> {
        let text = render(&job(), Layout::Yaml)?;
        let read: Value = serde_saphyr::from_str(&text).map_err(io::Error::other)?;
        assert_eq!(read, expected(), "{text}");
        assert!(text.starts_with("---\n") && text.ends_with('\n'));
        Ok(())
    }
}
