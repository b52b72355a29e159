//! Whole command lines in process, against a scripted server.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

// Each test program uses another part of it.
#[allow(dead_code)]
#[path = "../../rust/tests/fake/mod.rs"]
mod fake;
mod line;

use std::time::Duration;

use fake::{Fake, Scene, refusal, refusal_with};
use headway::v1::{Failure, Job, JobProgress, JobSpec, JobState, ListJobsResponse};
use headway_cli::{ExitStatus, Screen};
use line::{headway, run};
use serde_json::Value;
use tonic::Code;
use tonic_types::ErrorDetails;

fn job(revision: i64, state: JobState, done: i64) -> Job {
    Job {
        name: "partitions/default/jobs/j".to_owned(),
        uid: "u".to_owned(),
        spec: Some(JobSpec {
            display_name: "Export".to_owned(),
            ..JobSpec::default()
        }),
        state: state.into(),
        revision,
        progress: Some(JobProgress {
            items_known: 4,
            items_expected: 4,
            total_final: true,
            items_done: done,
            percentage: f64::from(i32::try_from(done).unwrap_or_default()) * 25.0,
            ..JobProgress::default()
        }),
        ..Job::default()
    }
}

fn scene(states: Vec<Job>) -> Scene {
    Scene {
        steps: states.into_iter().map(Ok).collect(),
        open: true,
    }
}

#[tokio::test]
async fn run_submits_follows_and_sums_up() {
    let fake = Fake::default();
    fake.script()
        .jobs
        .push_back(Ok(job(1, JobState::Waiting, 0)));
    fake.script().watches.push_back(scene(vec![
        job(1, JobState::Waiting, 0),
        job(2, JobState::Active, 1),
        job(5, JobState::Completed, 4),
    ]));
    let (status, stdout, stderr) = run(&fake, &["run", "--pipe", "p", "--type", "t"]).await;
    assert_eq!((status, stderr.as_str()), (ExitStatus::Completed, ""));
    assert_eq!(
        stdout,
        "partitions/default/jobs/j\nj WAITING 0.0% 0/4 items\nj ACTIVE 25.0% 1/4 items\n\
         j COMPLETED 100.0% 4/4 items\njob j completed: 4/4 items\n"
    );
}

#[tokio::test]
async fn run_on_a_terminal_draws_bars_and_sums_up() {
    let fake = Fake::default();
    fake.script()
        .jobs
        .push_back(Ok(job(1, JobState::Waiting, 0)));
    fake.script()
        .watches
        .push_back(scene(vec![job(5, JobState::Completed, 4)]));
    let screen = Screen {
        columns: 80,
        bars: indicatif::ProgressDrawTarget::hidden,
    };
    let server = fake.serve().await.expect("a free port");
    let (status, stdout, _) = headway(Some(server), &["run", "--pipe", "p"], Some(screen)).await;
    assert_eq!(status, ExitStatus::Completed);
    assert_eq!(
        stdout,
        "partitions/default/jobs/j\njob j completed: 4/4 items\n"
    );
}

#[tokio::test]
async fn waiting_tells_failure_by_the_status_and_prints_one_document() {
    let fake = Fake::default();
    let mut failed = job(5, JobState::Failed, 3);
    failed.failure_count = 1;
    failed.failure_sample = vec![Failure {
        item: "0-3".to_owned(),
        code: "BROKEN".to_owned(),
        ..Failure::default()
    }];
    fake.script()
        .jobs
        .push_back(Ok(job(1, JobState::Waiting, 0)));
    fake.script()
        .watches
        .push_back(scene(vec![job(2, JobState::Active, 1), failed]));
    let (status, stdout, _) = run(&fake, &["submit", "--pipe", "p", "--wait", "-o", "json"]).await;
    assert_eq!(status, ExitStatus::Failed);
    let document: Value = serde_json::from_str(&stdout).expect("one JSON document");
    assert_eq!(document["state"], "JOB_STATE_FAILED");
    assert_eq!(document["failureSample"][0]["code"], "BROKEN");
}

#[tokio::test]
async fn submit_prints_the_name_and_validation_says_so() {
    let fake = Fake::default();
    fake.script()
        .jobs
        .extend((0..2).map(|_| Ok(job(1, JobState::Waiting, 0))));
    let server = fake.serve().await.expect("a free port");
    let (status, stdout, _) = headway(Some(server), &["submit", "--pipe", "p"], None).await;
    assert_eq!(
        (status, stdout.as_str()),
        (ExitStatus::Completed, "partitions/default/jobs/j\n")
    );
    let (_, stdout, _) = headway(
        Some(server),
        &["submit", "--pipe", "p", "--validate-only"],
        None,
    )
    .await;
    assert_eq!(stdout, "partitions/default/jobs/j is valid\n");
}

#[tokio::test]
async fn watching_several_tells_of_each_and_fails_with_the_worst() {
    let fake = Fake::default();
    // Which of the two streams is opened first is the client's business.
    fake.script().watches.extend([
        scene(vec![job(5, JobState::Completed, 4)]),
        Scene {
            steps: vec![Err(refusal(Code::NotFound, "the job was deleted"))],
            open: false,
        },
    ]);
    let (status, stdout, stderr) = run(&fake, &["watch", "j", "k"]).await;
    assert_eq!(status, ExitStatus::Failed);
    assert_eq!(
        stdout,
        "j COMPLETED 100.0% 4/4 items\njob j completed: 4/4 items\n"
    );
    assert!(
        stderr.contains("could not be followed: the job was deleted")
            && stderr.contains("hint: `headway ls -p default`"),
        "{stderr}"
    );
}

#[tokio::test]
async fn watch_as_json_is_a_stream_of_lines() {
    let fake = Fake::default();
    fake.script().watches.push_back(scene(vec![
        job(2, JobState::Active, 1),
        job(5, JobState::Cancelled, 1),
    ]));
    let (status, stdout, _) = run(&fake, &["watch", "j", "-o", "json"]).await;
    assert_eq!(status, ExitStatus::Failed);
    let states: Vec<Value> = stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    assert_eq!(states.len(), 2);
    assert_eq!(states[1]["state"], "JOB_STATE_CANCELLED");
}

#[tokio::test]
async fn lists_go_over_all_pages_up_to_the_limit() {
    let fake = Fake::default();
    let page = |next: &str| {
        Ok(ListJobsResponse {
            jobs: vec![job(1, JobState::Paused, 2); 2],
            next_page_token: next.to_owned(),
            unreadable: Vec::new(),
        })
    };
    fake.script().pages.extend([page("a"), page("b"), page("")]);
    let server = fake.serve().await.expect("a free port");
    let (status, stdout, _) = headway(Some(server), &["ls", "--limit", "3"], None).await;
    assert_eq!(status, ExitStatus::Completed);
    assert_eq!(stdout.lines().count(), 4, "{stdout}");
    assert!(stdout.starts_with("JOB  STATE "), "{stdout}");
    assert_eq!(fake.requests("list"), ["", "a"]);
    let (_, stdout, _) = headway(Some(server), &["ls", "-o", "yaml"], None).await;
    assert!(
        stdout.contains("jobs:") && stdout.contains("JOB_STATE_PAUSED"),
        "{stdout}"
    );
}

#[tokio::test]
async fn a_refused_transition_is_explained() {
    let fake = Fake::default();
    let mut details = ErrorDetails::new();
    details
        .set_error_info("JOB_ENDED", "headway.dev", [])
        .add_precondition_failure_violation(
            "STATE",
            "partitions/default/jobs/j",
            "the job is COMPLETED",
        );
    let status = refusal_with(
        Code::FailedPrecondition,
        "a job that has ended cannot be resumed",
        details,
    );
    fake.script()
        .jobs
        .extend([Err(status), Ok(job(3, JobState::Active, 1))]);
    let (status, stdout, stderr) = run(&fake, &["resume", "j", "k"]).await;
    assert_eq!(status, ExitStatus::Failed);
    assert_eq!(
        stdout, "j ACTIVE 25.0% 1/4 items\n",
        "the second job is resumed all the same"
    );
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(
        lines[0],
        "error: job j could not be resumed: a job that has ended cannot be resumed"
    );
    assert_eq!(
        lines[1],
        "  precondition STATE of partitions/default/jobs/j: the job is COMPLETED"
    );
    assert_eq!(lines[2], "  code FAILED_PRECONDITION (JOB_ENDED)");
    assert!(lines[3].starts_with("hint: `headway get`"), "{stderr}");
}

#[tokio::test]
async fn bad_fields_are_usage() {
    let fake = Fake::default();
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation(
        "spec.batch.splitter",
        "no splitter \u{1b}[31mx; known: files",
    );
    for state in ["completed", "failed"] {
        details.add_bad_request_violation(format!("spec.retention.{state}"), "is too long");
    }
    fake.script().jobs.push_back(Err(refusal_with(
        Code::InvalidArgument,
        "the job is not valid",
        details,
    )));
    let (status, _, stderr) = run(&fake, &["submit", "--splitter", "x", "--pipe", "p"]).await;
    assert_eq!(status, ExitStatus::Usage);
    assert!(
        stderr.contains("  field spec.batch.splitter: no splitter \u{fffd}[31mx; known: files\n"),
        "{stderr}"
    );
    // What is wrong in several fields is told once.
    let retention = "  fields spec.retention.completed, spec.retention.failed: is too long\n";
    assert!(stderr.contains(retention), "{stderr}");
    assert!(stderr.contains("hint: correct these fields"), "{stderr}");
}

#[tokio::test]
async fn deleting_says_what_is_gone() {
    let fake = Fake::default();
    fake.script().jobs.push_back(Ok(Job::default()));
    let (status, stdout, _) = run(&fake, &["rm", "j"]).await;
    assert_eq!(
        (status, stdout.as_str()),
        (ExitStatus::Completed, "deleted partitions/default/jobs/j\n")
    );
}

#[tokio::test]
async fn no_server_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let (status, stdout, stderr) = headway(Some(address), &["ls"], None).await;
    assert_eq!((status, stdout.as_str()), (ExitStatus::Unreachable, ""));
    assert!(
        stderr.contains("cannot talk to http://127.0.0.1") && stderr.contains("refused"),
        "{stderr}"
    );
    assert!(stderr.contains("hint: is the server at"), "{stderr}");
}

#[tokio::test]
async fn a_silent_server_is_unreachable_too() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("its address");
    let waited = tokio::time::timeout(
        Duration::from_secs(10),
        headway(Some(address), &["get", "j", "--timeout", "100ms"], None),
    );
    let (status, _, stderr) = waited.await.expect("the command keeps its own deadline");
    assert_eq!(status, ExitStatus::Unreachable);
    assert!(stderr.contains("--timeout"), "{stderr}");
}

#[tokio::test]
async fn bad_command_lines_are_usage_without_a_server() {
    for (arguments, why) in [
        (vec!["frobnicate"], "unrecognized subcommand"),
        (vec!["get"], "required"),
        (vec!["get", "a/b"], "is not of the form"),
        (vec!["ls", "--limit", "0"], "--limit"),
        (vec!["ls", "--state", "dead"], "possible values"),
        (
            vec!["ls", "--server", "nowhere"],
            "does not begin with http://",
        ),
        (
            vec!["submit", "-f", "/nowhere/job.yaml"],
            "/nowhere/job.yaml",
        ),
        (
            vec!["ls", "--config", "/nowhere/config.yaml"],
            "/nowhere/config.yaml",
        ),
    ] {
        let (status, stdout, stderr) = headway(None, &arguments, None).await;
        assert_eq!(
            (status, stdout.as_str()),
            (ExitStatus::Usage, ""),
            "{arguments:?}"
        );
        assert!(stderr.contains(why), "{arguments:?}: {stderr}");
    }
}

#[tokio::test]
async fn help_and_completions_need_no_server() {
    let (status, stdout, _) = headway(None, &["--help"], None).await;
    assert_eq!(status, ExitStatus::Completed);
    assert!(stdout.contains("Exit status: 0 completed"), "{stdout}");
    for shell in ["bash", "zsh", "fish"] {
        let (status, stdout, _) = headway(None, &["completions", shell], None).await;
        assert_eq!(status, ExitStatus::Completed);
        assert!(stdout.contains("failures"), "{shell}");
    }
}
