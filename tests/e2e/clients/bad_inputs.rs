//! What is wrong with a request is said with the right code, details and sentence, to the command
//! line and to a client that knows the service by reflection only; and the server goes on.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use headway::v1::JobState;
use headway_cli::ExitStatus;
use headway_client::{JobBuilder, TaskBuilder};
use headway_tests::{Deployment, Record, WORK, outcome_counts, range};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tonic::Code;
use tonic_types::StatusExt;

use crate::{clients::command_line::headway, clients::reflection::Generic, handlers::quick};

on_both!(by_reflection, by_command_line);

/// A completed job that some requests are about.
async fn complete_one(d: &Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let task = TaskBuilder::new(WORK, "t").json(&json!(1));
    let name = d.create("done", JobBuilder::new(task).build()).await;
    d.finish(&name, JobState::Completed).await;
}

/// The server is unharmed when it still completes a job.
async fn still_works(d: &Deployment, id: &str) {
    let name = d.create(id, range(20, 10).build()).await;
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [20, 20, 0, 0]);
}

/// Which details, beside ErrorInfo, an error must carry, and about what.
enum Detail {
    /// A field violation.
    Field(&'static str),
    /// A precondition violation.
    Precondition(&'static str),
    /// A resource.
    Resource(&'static str),
    /// ErrorInfo alone.
    Info,
}

/// A bad request and the answer to it.
struct Bad {
    what: &'static str,
    method: &'static str,
    request: Value,
    code: Code,
    reason: &'static str,
    detail: Detail,
    sentence: &'static str,
}

fn create(id: &str, work: Value) -> Value {
    let mut request = json!({"parent": "partitions/default", "jobId": id, "spec": {}});
    request["spec"] = work;
    request
}

fn task(payload: &[u8]) -> Value {
    json!({"task": {"pipe": WORK, "type": "t", "payload": BASE64_STANDARD.encode(payload)}})
}

fn batch(splitter: &str, definition: &[u8]) -> Value {
    let definition = BASE64_STANDARD.encode(definition);
    json!({"batch": {"splitter": splitter, "data": definition, "item": {"pipe": WORK, "type": "t"}}})
}

/// A token as the server made one a day and a minute ago.
fn expired_token() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let issued = now.as_secs() - 24 * 3600 - 60;
    let mut token = vec![1];
    token.extend(issued.to_be_bytes());
    token.extend(7_i64.to_be_bytes());
    token.extend(0_i64.to_be_bytes());
    let mut hasher = Sha256::new();
    for text in ["jobs", "default", ""] {
        hasher.update(text.len().to_be_bytes());
        hasher.update(text);
    }
    hasher.update(&token);
    token.extend(&hasher.finalize()[..16]);
    BASE64_URL_SAFE_NO_PAD.encode(token)
}

fn bad_requests(splitters_are_known: bool) -> Vec<Bad> {
    use Detail::{Field, Info, Precondition, Resource};
    let bad = |what, method, request, code, reason, detail, sentence| Bad {
        what,
        method,
        request,
        code,
        reason,
        detail,
        sentence,
    };
    let invalid = |what, request, field, sentence| {
        let (code, reason) = (Code::InvalidArgument, "INVALID_FIELDS");
        bad(
            what,
            "CreateJob",
            request,
            code,
            reason,
            Field(field),
            sentence,
        )
    };
    let list = |what, request, reason, field, sentence| {
        let code = Code::InvalidArgument;
        bad(
            what,
            "ListJobs",
            request,
            code,
            reason,
            Field(field),
            sentence,
        )
    };
    let mut all = vec![
        invalid(
            "malformed definition",
            create("b", batch("json", b"[1, 2")),
            "spec.batch.definition",
            "json",
        ),
        invalid(
            "id with a slash",
            create("a/b", task(b"1")),
            "job_id",
            "must",
        ),
        invalid(
            "long id",
            create(&"x".repeat(129), task(b"1")),
            "job_id",
            "128",
        ),
        invalid(
            "payload above the bound",
            create("b", task(&vec![7; (1 << 20) + 1])),
            "spec.task.payload",
            "1048576",
        ),
        bad(
            "payload of 5 MB",
            "CreateJob",
            create("b", task(&vec![7; 5_000_000])),
            Code::InvalidArgument,
            "REQUEST_TOO_LARGE",
            Info,
            "at most 4194304 bytes",
        ),
        list(
            "unknown state",
            json!({"parent": "partitions/default", "filter": "state = BUSY"}),
            "INVALID_FIELDS",
            "filter",
            "state",
        ),
        list(
            "expired page token",
            json!({"parent": "partitions/default", "pageToken": expired_token()}),
            "PAGE_TOKEN_INVALID",
            "page_token",
            "24 hours",
        ),
        bad(
            "resuming what is completed",
            "ResumeJob",
            json!({"name": "partitions/default/jobs/done"}),
            Code::FailedPrecondition,
            "ILLEGAL_TRANSITION",
            Precondition("COMPLETED"),
            "it is COMPLETED",
        ),
        bad(
            "same id, another spec",
            "CreateJob",
            create("done", task(b"2")),
            Code::AlreadyExists,
            "JOB_EXISTS",
            Resource("partitions/default/jobs/done"),
            "choose another id",
        ),
        bad(
            "job of an unknown partition",
            "GetJob",
            json!({"name": "partitions/nowhere/jobs/done"}),
            Code::NotFound,
            "JOB_NOT_FOUND",
            Resource("partitions/nowhere/jobs/done"),
            "there is no job",
        ),
    ];
    if splitters_are_known {
        let request = create("b", batch("magic", b"{}"));
        let field = "spec.batch.splitter";
        all.push(invalid("unknown splitter", request, field, "range"));
    }
    all
}

async fn by_reflection(d: Deployment) {
    complete_one(&d).await;
    let services = Generic::services(d.address()).await;
    for known in ["headway.v1.JobService", "grpc.health.v1.Health"] {
        assert!(
            services.iter().any(|service| service == known),
            "{services:?}"
        );
    }
    let client = Generic::learn(d.address(), "headway.v1.JobService").await;
    for bad in bad_requests(d.back_end() == headway_tests::BackEnd::Embedded) {
        let what = bad.what;
        let status = match client.call(bad.method, bad.request).await {
            Err(status) => status,
            Ok(answer) => panic!("{what} is accepted: {answer}"),
        };
        assert_eq!(status.code(), bad.code, "{what}: {status:?}");
        assert!(
            status.message().contains(bad.sentence),
            "{what}: {}",
            status.message()
        );
        let details = status.get_error_details();
        let info = details
            .error_info()
            .unwrap_or_else(|| panic!("{what}: no ErrorInfo"));
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            (bad.reason, "headway.dev"),
            "{what}"
        );
        match bad.detail {
            Detail::Field(field) => {
                let violations = &details.bad_request().expect(what).field_violations;
                let fields: Vec<_> = violations.iter().map(|one| one.field.as_str()).collect();
                assert_eq!(fields, [field], "{what}");
                assert!(!violations[0].description.is_empty(), "{what}");
            }
            Detail::Precondition(kind) => {
                let violations = &details.precondition_failure().expect(what).violations;
                assert_eq!(violations[0].r#type, kind, "{what}");
            }
            Detail::Resource(name) => {
                let resource = details.resource_info().expect(what);
                assert_eq!(resource.resource_name, name, "{what}");
                assert_eq!(resource.resource_type, "headway.dev/Job", "{what}");
            }
            Detail::Info => {}
        }
        let present = json!({"name": "partitions/default/jobs/done"});
        let answer = client
            .call("GetJob", present)
            .await
            .expect("the server answers still");
        assert_eq!(answer["state"], "JOB_STATE_COMPLETED", "{what}");
    }
    still_works(&d, "after").await;
}

async fn by_command_line(d: Deployment) {
    complete_one(&d).await;
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large");
    std::fs::write(&large, vec![b'7'; 5_000_000]).unwrap();
    let large = large.display().to_string();
    let long = "x".repeat(129);
    let submit = |more: &[&'static str]| {
        let mut line = vec!["submit", "--pipe", WORK, "--type", "t"];
        line.extend(more);
        line
    };
    let long: &str = &long;
    let mut cases: Vec<(Vec<&str>, ExitStatus, &str)> = vec![
        (
            submit(&["--splitter", "json", "--definition", "[1, 2"]),
            ExitStatus::Usage,
            "definition",
        ),
        (
            submit(&[
                "--splitter",
                "range",
                "--definition",
                r#"{"from": "x", "to": 1}"#,
            ]),
            ExitStatus::Usage,
            "spec.batch.definition",
        ),
        (
            submit(&["--id", "a/b", "--payload", "1"]),
            ExitStatus::Usage,
            "/",
        ),
        (
            vec![
                "submit",
                "--pipe",
                WORK,
                "--type",
                "t",
                "--payload",
                "1",
                "--id",
                long,
            ],
            ExitStatus::Usage,
            "128",
        ),
        (
            vec![
                "submit",
                "--pipe",
                WORK,
                "--type",
                "t",
                "--payload-file",
                &large,
            ],
            ExitStatus::Usage,
            "at most",
        ),
        (
            vec!["ls", "--state", "nowhere"],
            ExitStatus::Usage,
            "nowhere",
        ),
        (
            vec!["resume", "done"],
            ExitStatus::Failed,
            "it is COMPLETED",
        ),
        (
            submit(&["--id", "done", "--payload", "2"]),
            ExitStatus::Failed,
            "choose another",
        ),
        (
            vec!["get", "partitions/nowhere/jobs/done"],
            ExitStatus::Failed,
            "there is no job",
        ),
    ];
    if d.back_end() == headway_tests::BackEnd::Embedded {
        let unknown = submit(&["--splitter", "magic", "--definition", "{}"]);
        cases.push((unknown, ExitStatus::Usage, "spec.batch.splitter"));
    }
    for (line, wanted, sentence) in cases {
        let (status, stdout, stderr) = headway(&d, &line).await;
        let what = line.join(" ");
        assert_eq!(status, wanted, "{what}: {stdout}{stderr}");
        assert!(stderr.starts_with("error: "), "{what}: {stderr}");
        assert!(stderr.contains(sentence), "{what}: {stderr}");
        let (status, stdout, _) = headway(&d, &["get", "done", "-o", "json"]).await;
        assert_eq!(status, ExitStatus::Completed);
        assert!(stdout.contains("COMPLETED"), "{stdout}");
    }
    still_works(&d, "after").await;
}
