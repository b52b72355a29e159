//! Job types of a folder of files: what they make, those that cannot be used, and the guide's
//! example.

use headway::v1::{CreateJobRequest, JobSpec, JobState, job_spec::Work};
use headway_cli::ExitStatus;
use headway_client::{Code, job_type_name, type_parameters};
use headway_tests::{Deployment, Options, Record, name, outcome_counts};
use headway_worker::{Outcome, Task, TaskError};
use serde_json::json;

use crate::{
    clients::command_line::{headway, words},
    handlers::quick,
    job_types::{evaluated, field, submit, typed, with_files},
};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/job-types");
const GUIDE: &str = include_str!("../../../docs/JOB_TYPES.md");

on_both!(
    files_make_work with with_files,
    bad_files_are_unavailable_and_others_are_not with with_files,
    files_that_read_the_same_variables_are_unavailable with with_twins,
    by_command_line with with_the_example,
);

/// The type that the guide is about.
fn with_the_example(options: &mut Options) {
    evaluated(options);
    options.config.job_types_dir = Some(EXAMPLES.into());
}

/// Two types whose names become the same variable.
fn with_twins(options: &mut Options) {
    evaluated(options);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/job_types/twins");
    options.config.job_types_dir = Some(folder.into());
}

async fn files_make_work(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let client = d.client();
    let spec = JobSpec {
        description: "twelve".to_owned(),
        ..typed("numbers", &json!({"to": 12, "tags": ["a"]}))
    };
    let request = CreateJobRequest {
        validate_only: true,
        ..headway_tests::request("twelve", spec.clone())
    };
    let rehearsed = client.create_job(request).await.unwrap();
    let made = rehearsed.spec.unwrap().work;
    assert!(
        matches!(&made, Some(Work::Batch(batch)) if batch.splitter == "range"),
        "{made:?}"
    );
    submit(client, "twelve", spec.clone()).await.unwrap();
    let job = d.finish(&name("twelve"), JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [12, 12, 0, 0]);
    let kept = job.spec.unwrap();
    assert_eq!(kept.description, "twelve");
    let used = kept.job_type.unwrap();
    let found = client
        .get_job_type(&job_type_name("numbers"))
        .await
        .unwrap();
    assert_eq!(
        (used.job_type.as_str(), &used.version),
        ("jobTypes/numbers", &found.version)
    );
    let parameters = type_parameters(&used);
    assert_eq!(parameters, type_parameters(&spec.job_type.unwrap()));
    assert!(found.from_file && found.problem.is_empty(), "{found:?}");
    assert_eq!(found.description, "Counts up to a number");
    assert!(found.definition.contains("splitter"));
    // Work of its own, or no work at all.
    let both = JobSpec {
        work: made,
        ..typed("numbers", &json!({"to": 1}))
    };
    let refused = submit(client, "both", both).await.unwrap_err();
    assert_eq!(field(&refused).0, "spec.job_type");
    let refused = submit(client, "none", JobSpec::default())
        .await
        .unwrap_err();
    assert_eq!(field(&refused).0, "spec.work");
}

async fn bad_files_are_unavailable_and_others_are_not(d: Deployment) {
    let client = d.client();
    for (id, why) in [
        ("broken", "program is wrong"),
        ("unset", "set HEADWAY_JOB_TYPE_UNSET_BUCKET for the server"),
    ] {
        let found = client.get_job_type(&job_type_name(id)).await.unwrap();
        assert!(found.problem.contains(why), "{found:?}");
        let refused = submit(client, "job", typed(id, &json!({})))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert_eq!(refused.reason(), Some("JOB_TYPE_UNUSABLE"));
        assert!(refused.message().contains(why), "{refused}");
        assert_eq!(
            refused
                .resource_info()
                .map(|what| what.resource_name.as_str()),
            Some(job_type_name(id).as_str())
        );
    }
    let refused = submit(client, "job", typed("notes", &json!({})))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), refused.reason()),
        (Code::NotFound, Some("JOB_TYPE_NOT_FOUND"))
    );
    submit(client, "good", typed("numbers", &json!({"to": 1})))
        .await
        .unwrap();
    d.worker(|worker| worker.handler(|_: Task| async { Ok::<_, TaskError>(Outcome::done()) }));
    d.finish(&name("good"), JobState::Completed).await;
}

async fn files_that_read_the_same_variables_are_unavailable(d: Deployment) {
    for id in ["export-aws", "export_aws"] {
        let found = d.client().get_job_type(&job_type_name(id)).await.unwrap();
        assert!(found.problem.contains("the same variables"), "{found:?}");
        let refused = submit(d.client(), "job", typed(id, &json!({}))).await;
        assert_eq!(refused.unwrap_err().reason(), Some("JOB_TYPE_UNUSABLE"));
    }
}

/// What the guide shows of the command line, but for the line that needs no server.
async fn by_command_line(d: Deployment) {
    let blocks = GUIDE.split("```sh\n").skip(1);
    let lines: Vec<&str> = blocks
        .filter_map(|block| block.split("```").next())
        .flat_map(str::lines)
        .filter(|line| !line.starts_with("headway type test"))
        .collect();
    assert_eq!(lines.len(), 5);
    // A folder without files, so that there is nothing to do.
    let empty = d.folder().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let empty = empty.to_str().unwrap();
    let run = async |line: &str| {
        let line = line.replace("examples/job-types", EXAMPLES);
        let line = line.replace("/usr/share/doc", empty);
        headway(&d, &words(&line)[1..]).await.0
    };
    for line in lines {
        assert_eq!(run(line).await, ExitStatus::Completed, "{line}");
    }
    let jobs = d.client().list_jobs(headway::v1::ListJobsRequest {
        parent: "partitions/default".to_owned(),
        ..headway::v1::ListJobsRequest::default()
    });
    let jobs = jobs.await.unwrap().jobs;
    assert_eq!(jobs.len(), 1);
    let id = jobs[0].name.rsplit('/').next().unwrap();
    let job = d.finish(&name(id), JobState::Completed).await;
    assert_eq!(
        job.spec.unwrap().job_type.unwrap().job_type,
        "jobTypes/export"
    );
    for (line, expected) in [
        ("headway type get export", ExitStatus::Completed),
        ("headway type get none", ExitStatus::Failed),
        ("headway type rm export", ExitStatus::Failed),
        (
            "headway submit --job-type export --parameters {}",
            ExitStatus::Usage,
        ),
        (
            "headway submit --job-type export --pipe p",
            ExitStatus::Usage,
        ),
    ] {
        assert_eq!(run(line).await, expected, "{line}");
    }
}
