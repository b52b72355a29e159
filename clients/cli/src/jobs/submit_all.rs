//! Many jobs of one file, as many in a call as fit.

use std::path::Path;

use headway::v1::{
    BatchCreateJobsEntry, BatchCreateJobsRequest, BatchCreateJobsResult,
    batch_create_jobs_result::Result as Outcome,
};
use headway_client::partition_name;
use headway_job_types::yaml;
use prost::Message;
use serde_json::Value as Json;
use tonic_types::{RpcStatusExt as _, Status};

use super::{job_file, submit};
use crate::{
    Console,
    failure::{ExitStatus, Failure},
    input,
    output::{
        document::{layout, render},
        human::{clean, counted},
    },
    remote::Remote,
    settings::Settings,
};

/// The most jobs that one call takes.
const JOBS_PER_CALL: usize = 1_000;

/// How large one call gets, in bytes: well below the 4 MiB that a server takes. A job that is
/// larger goes alone.
const BYTES_PER_CALL: usize = 3 << 20;

/// Creates all jobs of a file, and prints what became of each. One that is refused does not keep
/// the others from it.
pub(crate) async fn run(
    file: &Path,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let entries = entries(&input::text(file)?, &partition_name(&settings.partition)?)
        .map_err(|error| submit::bad_file(file, &error))?;
    let remote = Remote::connect(settings).await?;
    let all = entries.len();
    let (mut told, mut refused) = (0, 0);
    for call in calls(entries) {
        let ids: Vec<String> = call.iter().map(|entry| entry.job_id.clone()).collect();
        let request = BatchCreateJobsRequest {
            parent: partition_name(&remote.settings.partition)?,
            jobs: call,
            ..BatchCreateJobsRequest::default()
        };
        let answer = remote.client.batch_create_jobs(request);
        let answer = answer.await.map_err(|error| {
            let first = told + 1;
            remote.failure(
                format!("jobs from number {first} on were not accepted"),
                error,
            )
        })?;
        for (result, id) in answer.results.iter().zip(&ids) {
            told += 1;
            refused += usize::from(matches!(result.result, Some(Outcome::Error(_))));
            tell(result, told, id, &remote, console)?;
        }
    }
    if refused == 0 {
        return Ok(ExitStatus::Completed);
    }
    let all = counted(i64::try_from(all).unwrap_or(i64::MAX), "job");
    console.error(&format!("{refused} of {all} were not accepted\n"))?;
    Ok(ExitStatus::Failed)
}

fn tell(
    result: &BatchCreateJobsResult,
    number: usize,
    id: &str,
    remote: &Remote,
    console: &mut Console,
) -> Result<(), Failure> {
    match (layout(remote.settings.format), &result.result) {
        (Some(layout), _) => console.text(&render(result, layout)?)?,
        (None, Some(Outcome::Job(job))) => console.line(&job.name)?,
        (None, Some(Outcome::Error(status))) => {
            let which = match id {
                "" => number.to_string(),
                id => format!("{number}, {}", clean(id)),
            };
            console.error(&refusal(status, &which))?;
        }
        (None, None) => {}
    }
    Ok(())
}

fn refusal(status: &Status, which: &str) -> String {
    let details = status.get_details_error_info();
    let reason = details.map(|info| info.reason).unwrap_or_default();
    let (why, reason) = (clean(&status.message), clean(&reason));
    format!("error: job {which} was not accepted: {why} ({reason})\n")
}

/// The jobs of a text: one after the other in JSON, or a list in JSON or YAML.
fn entries(text: &str, parent: &str) -> Result<Vec<BatchCreateJobsEntry>, String> {
    let jobs: Vec<Json> = if text.trim_start().starts_with('{') {
        let jobs = serde_json::Deserializer::from_str(text).into_iter();
        jobs.collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?
    } else {
        match yaml::read(text)? {
            Json::Array(jobs) => jobs,
            _ => {
                return Err(
                    "it is not a list of jobs, and not one job after the other in JSON".to_owned(),
                );
            }
        }
    };
    if jobs.is_empty() {
        return Err("it has no jobs".to_owned());
    }
    let jobs = jobs.iter().zip(1_usize..);
    jobs.map(|(job, number)| entry(job, parent).map_err(|error| format!("job {number}: {error}")))
        .collect()
}

fn entry(job: &Json, parent: &str) -> Result<BatchCreateJobsEntry, String> {
    let request = job_file::request(job)?;
    if !request.parent.is_empty() && request.parent != parent {
        return Err(format!("parent: it is {parent} for all jobs of a file"));
    }
    if request.validate_only {
        return Err("validate_only: it is not possible for the jobs of a file".to_owned());
    }
    let mut spec = request.spec;
    if let Some(spec) = &mut spec {
        submit::complete_names(spec, parent);
    }
    Ok(BatchCreateJobsEntry {
        job_id: request.job_id,
        spec,
        request_id: request.request_id,
    })
}

/// Parts them into calls, in their order.
fn calls(entries: Vec<BatchCreateJobsEntry>) -> Vec<Vec<BatchCreateJobsEntry>> {
    let mut calls: Vec<Vec<BatchCreateJobsEntry>> = Vec::new();
    let mut room = 0;
    for entry in entries {
        let size = entry.encoded_len();
        match calls.last_mut() {
            Some(call) if size <= room && call.len() < JOBS_PER_CALL => {
                room -= size;
                call.push(entry);
            }
            _ => {
                room = BYTES_PER_CALL.saturating_sub(size);
                calls.push(vec![entry]);
            }
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;
    use headway::v1::{JobSpec, TaskSpec, job_spec::Work};

    const PARENT: &str = "partitions/p";

    fn ids(text: &str) -> Result<Vec<String>, String> {
        let entries = entries(text, PARENT)?;
        Ok(entries.into_iter().map(|entry| entry.job_id).collect())
    }

    #[test]
    fn jobs_are_a_list_or_follow_each_other() {
        let a = r#"{"jobId": "a", "parent": "partitions/p", "spec": {"task": {"pipe": "work"}}}"#;
        let b = r#"{"job_id": "b",
            "spec": {"task": {"pipe": "work"}}}"#;
        let bare = r#"{"task": {"pipe": "work"}}"#;
        let expected = Ok(["a", "b", ""].map(str::to_owned).to_vec());
        assert_eq!(ids(&format!("{a}\n{b}\n{bare}\n")), expected);
        assert_eq!(ids(&format!("[{a}, {b}, {bare}]")), expected);
        let yaml = "
- {job_id: a, spec: {task: {pipe: work}}}
- job_id: b
  spec:
    task: {pipe: work}
- task: {pipe: work}
";
        assert_eq!(ids(yaml), expected);
    }

    #[test]
    fn what_is_wrong_names_the_job() {
        for (text, why) in [
            ("", "it is not a list"),
            ("task: {pipe: work}", "it is not a list"),
            ("[]", "it has no jobs"),
            (
                "- {task: {pipe: a}}\n- {tusk: {}}",
                "job 2: tusk: unknown field",
            ),
            ("{\"task\": {}}\n{\"task\": ", "line 2"),
            ("{\"task\": {}} 5", "job 2: a job is an object"),
            (
                "[{parent: partitions/q, spec: {task: {}}}]",
                "job 1: parent: it is partitions/p",
            ),
            (
                "[{validate_only: true, spec: {task: {}}}]",
                "job 1: validate_only",
            ),
        ] {
            let error = ids(text).expect_err(text);
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }

    #[test]
    fn calls_are_bounded_and_keep_the_order() {
        let of = |id: usize, payload: usize| BatchCreateJobsEntry {
            job_id: id.to_string(),
            spec: Some(JobSpec {
                work: Some(Work::Task(TaskSpec {
                    payload: vec![0; payload],
                    ..TaskSpec::default()
                })),
                ..JobSpec::default()
            }),
            ..BatchCreateJobsEntry::default()
        };
        let small: Vec<_> = (0..2_001).map(|id| of(id, 0)).collect();
        let sizes: Vec<usize> = calls(small.clone()).iter().map(Vec::len).collect();
        assert_eq!(sizes, [1_000, 1_000, 1]);
        assert_eq!(calls(small.clone()).concat(), small);
        let large: Vec<_> = (0..5).map(|id| of(id, 1 << 20)).collect();
        let sizes: Vec<usize> = calls(large).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 2, 1]);
        assert_eq!(calls(vec![of(0, 4 << 20), of(1, 0)]).len(), 2);
    }
}
