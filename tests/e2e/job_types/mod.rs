//! Jobs whose work is made by a job type.

mod files;
mod programs;
mod variables;

use futures::TryStreamExt;
use headway::v1::{
    BatchCreateJobsEntry, CreateJobTypeRequest, CreateScheduleRequest, Job, JobSpec, JobState,
    JobType, JobTypeUse, ListJobTypesRequest, Schedule, job_type_use::ParametersForm,
};
use headway_client::{
    Client, Code, Error, JsonError, job_type_name, json_to_struct, schedule_name,
};
use headway_tests::{Deployment, Options, PATIENCE, Record, name, outcome_counts, until};
use serde_json::{Value, json};

use crate::handlers::quick;

on_both!(
    parameters_are_told_by_pointer with with_files,
    types_are_created_listed_and_deleted with with_files,
    jobs_remember_what_made_them with evaluated,
    schedules_and_many_jobs_have_types with with_files,
);

/// Types of the API alone.
pub(crate) fn evaluated(options: &mut Options) {
    let program = env!("CARGO_BIN_EXE_headway-test-process");
    options.config.job_type_evaluator = Some(program.into());
}

/// The types of the folder beside this file, too.
pub(crate) fn with_files(options: &mut Options) {
    evaluated(options);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/job_types/definitions");
    options.config.job_types_dir = Some(folder.into());
}

pub(crate) fn typed(id: &str, parameters: &Value) -> JobSpec {
    let parameters: Result<_, JsonError> = json_to_struct(parameters);
    JobSpec {
        job_type: Some(JobTypeUse {
            job_type: job_type_name(id),
            parameters_form: Some(ParametersForm::Parameters(parameters.expect("an object"))),
            ..JobTypeUse::default()
        }),
        ..JobSpec::default()
    }
}

pub(crate) async fn submit(client: &Client, id: &str, spec: JobSpec) -> Result<Job, Error> {
    client.create_job(headway_tests::request(id, spec)).await
}

pub(crate) fn defined(definition: &str) -> JobType {
    JobType {
        definition: definition.to_owned(),
        ..JobType::default()
    }
}

pub(crate) async fn create(client: &Client, id: &str, definition: &str) -> Result<JobType, Error> {
    let request = CreateJobTypeRequest {
        job_type_id: id.to_owned(),
        job_type: Some(defined(definition)),
        validate_only: false,
    };
    client.create_job_type(request).await
}

/// The single field that a refusal is about, and why.
pub(crate) fn field(refused: &Error) -> (String, String) {
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let violations = refused.field_violations();
    assert_eq!(violations.len(), 1, "{refused}");
    let violation = &violations[0];
    (violation.field.clone(), violation.description.clone())
}

async fn parameters_are_told_by_pointer(d: Deployment) {
    let client = d.client();
    let bad = json!({"to": 0, "tags": ["a", 5], "a/b~c": 1});
    let refused = submit(client, "job", typed("numbers", &bad))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let mut fields: Vec<_> = refused
        .field_violations()
        .iter()
        .map(|v| v.field.as_str())
        .collect();
    fields.sort_unstable();
    let below = "spec.job_type.parameters";
    assert_eq!(
        fields,
        [
            below.to_owned(),
            format!("{below}/tags/1"),
            format!("{below}/to")
        ]
    );
    let refused = submit(client, "job", typed("numbers", &json!({})))
        .await
        .unwrap_err();
    let (at, why) = field(&refused);
    assert_eq!(at, below);
    assert!(why.contains("to"), "{why}");
    // Whoever names no type by its whole name is told how.
    let mut spec = typed("numbers", &json!({"to": 1}));
    if let Some(used) = &mut spec.job_type {
        used.job_type = "numbers".to_owned();
    }
    let refused = submit(client, "job", spec).await.unwrap_err();
    assert_eq!(
        field(&refused),
        (
            "spec.job_type.job_type".to_owned(),
            "must be jobTypes/{type}".to_owned()
        )
    );
}

pub(crate) const TASK: &str = "
description: One task
parameters: {type: object}
program: '{task: {pipe: \"work\", type: \"number\", payload: (.parameters.n | tojson | @base64)}}'
";

async fn types_are_created_listed_and_deleted(d: Deployment) {
    let client = d.client();
    let request = CreateJobTypeRequest {
        job_type_id: "one".to_owned(),
        job_type: Some(defined(TASK)),
        validate_only: true,
    };
    client.create_job_type(request).await.unwrap();
    let refused = client
        .get_job_type(&job_type_name("one"))
        .await
        .unwrap_err();
    assert_eq!(refused.reason(), Some("JOB_TYPE_NOT_FOUND"));
    let one = create(client, "one", TASK).await.unwrap();
    assert_eq!(
        (one.name.as_str(), one.version.as_str()),
        ("jobTypes/one", "1")
    );
    assert_eq!(
        (one.description.as_str(), one.from_file),
        ("One task", false)
    );
    assert!(one.update_time.is_some());
    for taken in ["one", "numbers"] {
        let refused = create(client, taken, TASK).await.unwrap_err();
        assert_eq!(
            (refused.code(), refused.reason()),
            (Code::AlreadyExists, Some("JOB_TYPE_EXISTS"))
        );
    }
    // Capitals come first, whatever the collation of the database, and files stand among the
    // others.
    for id in ["Z", "o", "ümlaut"] {
        create(client, id, TASK).await.unwrap();
    }
    let mut stub = headway::v1::job_type_service_client::JobTypeServiceClient::connect(format!(
        "http://{}",
        d.address()
    ))
    .await
    .unwrap();
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListJobTypesRequest {
            page_size: 2,
            page_token,
        };
        let page = stub.list_job_types(request).await.unwrap().into_inner();
        assert!(
            page.job_types.len() <= 2
                && page
                    .job_types
                    .iter()
                    .all(|found| found.definition.is_empty())
        );
        names.extend(page.job_types.into_iter().map(|found| found.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let ids = ["Z", "broken", "numbers", "o", "one", "unset", "ümlaut"];
    assert_eq!(names, ids.map(job_type_name));
    let all: Vec<_> = client.job_types().try_collect().await.unwrap();
    assert_eq!(all.len(), ids.len());
    // A file is changed where it is.
    let changed = JobType {
        name: job_type_name("numbers"),
        ..defined(TASK)
    };
    let fixed = [
        client.update_job_type(changed).await.unwrap_err(),
        client
            .delete_job_type(&job_type_name("numbers"))
            .await
            .unwrap_err(),
    ];
    for refused in fixed {
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert_eq!(refused.reason(), Some("JOB_TYPE_FROM_FILE"));
    }
    client.delete_job_type(&job_type_name("one")).await.unwrap();
    let refused = client
        .delete_job_type(&job_type_name("one"))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), refused.reason()),
        (Code::NotFound, Some("JOB_TYPE_NOT_FOUND"))
    );
}

async fn jobs_remember_what_made_them(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let client = d.client();
    let first = create(client, "type", TASK).await.unwrap();
    let spec = typed("type", &json!({"n": 7}));
    submit(client, "old", spec.clone()).await.unwrap();
    d.finish(&name("old"), JobState::Completed).await;
    assert_eq!(record.total(), 1);
    let other = TASK
        .replace("One task", "Another")
        .replace(".parameters.n", "8");
    let changed = JobType {
        name: first.name.clone(),
        etag: first.etag.clone(),
        ..defined(&other)
    };
    let second = client.update_job_type(changed.clone()).await.unwrap();
    assert_eq!(
        (second.version.as_str(), second.description.as_str()),
        ("2", "Another")
    );
    // Whoever made a change of the version before is told.
    let refused = client.update_job_type(changed).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.reason()),
        (Code::Aborted, Some("ETAG_MISMATCH"))
    );
    // Without an etag, it is changed whatever it is.
    let again = JobType {
        name: first.name,
        ..defined(&other)
    };
    assert_eq!(client.update_job_type(again).await.unwrap().version, "3");
    // A repeated request is the same request, although its type would make other work by now.
    let repeated = submit(client, "old", spec.clone()).await.unwrap();
    assert_eq!(repeated.state(), JobState::Completed);
    assert_eq!(repeated.spec.unwrap().job_type.unwrap().version, "1");
    let refused = submit(client, "old", typed("type", &json!({"n": 9})))
        .await
        .unwrap_err();
    assert_eq!(refused.reason(), Some("JOB_EXISTS"));
    submit(client, "new", spec).await.unwrap();
    let new = d.finish(&name("new"), JobState::Completed).await;
    assert_eq!(new.spec.unwrap().job_type.unwrap().version, "3");
    assert_eq!(
        record.runs(),
        [("7".to_owned(), 1), ("8".to_owned(), 1)].into()
    );
    // What its type made is all that a job needs.
    client
        .delete_job_type(&job_type_name("type"))
        .await
        .unwrap();
    let old = d.job(&name("old")).await.spec.unwrap().job_type.unwrap();
    assert_eq!(old.version, "1");
}

async fn schedules_and_many_jobs_have_types(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let client = d.client();
    let entry = |id: &str, to: i32| BatchCreateJobsEntry {
        job_id: id.to_owned(),
        spec: Some(typed("numbers", &json!({"to": to}))),
        ..BatchCreateJobsEntry::default()
    };
    let entries = vec![entry("three", 3), entry("bad", -1), entry("four", 4)];
    let results = client.create_jobs("default", entries).await.unwrap();
    let codes = results
        .iter()
        .map(|result| result.as_ref().err().map(Error::code));
    let codes: Vec<_> = codes.collect();
    assert_eq!(
        codes,
        [None, Some(Code::InvalidArgument), None],
        "{results:?}"
    );
    for (id, items) in [("three", 3), ("four", 4)] {
        let job = d.finish(&name(id), JobState::Completed).await;
        assert_eq!(outcome_counts(&job), [items, items, 0, 0]);
    }
    let schedule = |parameters: &Value| CreateScheduleRequest {
        parent: "partitions/default".to_owned(),
        schedule_id: "often".to_owned(),
        schedule: Some(Schedule {
            cron: "* * * * * *".to_owned(),
            spec: Some(typed("numbers", parameters)),
            ..Schedule::default()
        }),
        ..CreateScheduleRequest::default()
    };
    let refused = client
        .create_schedule(schedule(&json!({"to": "x"})))
        .await
        .unwrap_err();
    assert!(field(&refused).0.ends_with("/to"), "{refused}");
    client
        .create_schedule(schedule(&json!({"to": 2})))
        .await
        .unwrap();
    until("a job of the schedule", PATIENCE, || async {
        (record.total() >= 9).then_some(())
    })
    .await;
    client
        .delete_schedule(&schedule_name("default", "often"))
        .await
        .unwrap();
}
