//! The client against a scripted server: retries, deadlines, errors, and the resumable watch.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

mod fake;

use std::{error::Error as StdError, time::Duration};

use fake::{Fake, Proxy, Scene, client, quick, refusal, refusal_with, state};
use futures::StreamExt;
use headway::v1::{Job, JobState, ListJobsRequest, ListJobsResponse};
use headway_client::{Client, ClientConfig, Code, JobName, Watch, create_request};
use tonic::Status;
use tonic_types::ErrorDetails;

type TestResult = Result<(), Box<dyn StdError>>;

fn name() -> JobName {
    "partitions/p/jobs/j".parse().expect("a valid name")
}

fn done(revision: i64) -> Job {
    state("u", revision, JobState::Completed)
}

fn active(revision: i64) -> Job {
    state("u", revision, JobState::Active)
}

/// A busy server that says when to come again.
fn busy(code: Code, delay: Duration) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info("BUSY", "headway.dev", []);
    details.set_retry_info(Some(delay));
    refusal_with(code, "busy", details)
}

/// Everything that a watch says, as revisions, then how it ended.
async fn collect(watch: Watch) -> (Vec<i64>, Option<Code>) {
    let mut revisions = Vec::new();
    let mut end = None;
    for item in watch.collect::<Vec<_>>().await {
        assert_eq!(end, None, "nothing may follow an error");
        match item {
            Ok(job) => revisions.push(job.revision),
            Err(error) => end = Some(error.code()),
        }
    }
    (revisions, end)
}

#[tokio::test]
async fn a_create_without_id_is_retried_under_one_request_id() -> TestResult {
    let fake = Fake::default();
    fake.script().jobs.extend([
        Err(refusal(Code::Unavailable, "starting")),
        Err(busy(Code::ResourceExhausted, Duration::from_millis(40))),
        Ok(active(1)),
    ]);
    let client = client(fake.serve().await?).await?;
    let job = client
        .create_job(create_request("p", Default::default()))
        .await?;
    assert_eq!(job.revision, 1);
    let ids = fake.requests("create");
    assert_eq!(ids.len(), 3);
    assert!(
        !ids[0].is_empty() && ids.iter().all(|id| *id == ids[0]),
        "{ids:?}"
    );
    let script = fake.script();
    let pause = script.calls[2].2 - script.calls[1].2;
    assert!(
        pause >= Duration::from_millis(40),
        "came again after {pause:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_create_with_an_id_needs_no_request_id() -> TestResult {
    let fake = Fake::default();
    fake.script().jobs.push_back(Ok(active(1)));
    let client = client(fake.serve().await?).await?;
    let mut request = create_request("p", Default::default());
    request.job_id = "j".to_owned();
    client.create_job(request).await?;
    assert_eq!(fake.requests("create"), [""]);
    Ok(())
}

#[tokio::test]
async fn attempts_are_bounded() -> TestResult {
    let fake = Fake::default();
    fake.script()
        .jobs
        .extend((0..9).map(|_| Err(refusal(Code::Unavailable, "down"))));
    let client = client(fake.serve().await?).await?;
    let error = client.get_job(&name()).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(fake.requests("get").len(), 4);
    Ok(())
}

#[tokio::test]
async fn a_delay_beyond_the_deadline_is_not_waited_for() -> TestResult {
    let fake = Fake::default();
    fake.script()
        .jobs
        .push_back(Err(busy(Code::Unavailable, Duration::from_secs(3600))));
    let client = client(fake.serve().await?).await?;
    let error = client.get_job(&name()).await.unwrap_err();
    assert_eq!(error.retry_delay(), Some(Duration::from_secs(3600)));
    assert_eq!(fake.requests("get").len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_would_not_be_harmless_is_not_repeated() -> TestResult {
    let fake = Fake::default();
    fake.script()
        .jobs
        .extend((0..9).map(|_| Err(refusal(Code::Unavailable, "down"))));
    let client = client(fake.serve().await?).await?;
    client.retry_job(&name()).await.unwrap_err();
    client.delete_job(&name()).await.unwrap_err();
    assert_eq!(fake.requests("retry").len(), 1);
    assert_eq!(fake.requests("delete").len(), 1);
    client.cancel_job(&name()).await.unwrap_err();
    assert_eq!(fake.requests("cancel").len(), 4);
    Ok(())
}

#[tokio::test]
async fn a_lasting_error_is_not_repeated_and_keeps_its_details() -> TestResult {
    let fake = Fake::default();
    let mut details = ErrorDetails::new();
    details
        .set_error_info(
            "JOB_ENDED",
            "headway.dev",
            [("state".to_owned(), "COMPLETED".to_owned())],
        )
        .add_precondition_failure_violation("STATE", "partitions/p/jobs/j", "the job has ended");
    fake.script().jobs.push_back(Err(refusal_with(
        Code::FailedPrecondition,
        "a completed job cannot be resumed",
        details,
    )));
    let client = client(fake.serve().await?).await?;
    let error = client.resume_job(&name()).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert_eq!(error.reason(), Some("JOB_ENDED"));
    assert_eq!(
        error.precondition_violations()[0].subject,
        "partitions/p/jobs/j"
    );
    assert_eq!(
        error
            .metadata()
            .and_then(|map| map.get("state"))
            .map(String::as_str),
        Some("COMPLETED")
    );
    assert_eq!(fake.requests("resume").len(), 1);
    Ok(())
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable() -> TestResult {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    drop(listener);
    let error = client(address).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert!(error.message().contains("refused"), "{error}");
    // A call over a lazy connection fails the same way, after its retries.
    let error = Client::lazy(quick(address))?
        .retry_job(&name())
        .await
        .unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_silent_server_runs_into_the_deadline() -> TestResult {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let mut config: ClientConfig = quick(listener.local_addr()?);
    config.request_timeout = Duration::from_millis(50);
    // The connection is made by the kernel; nobody ever answers on it.
    let error = Client::connect(config)
        .await?
        .get_job(&name())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded, "{error:?}");
    assert!(error.is_unreachable());
    Ok(())
}

#[tokio::test]
async fn all_pages_are_read() -> TestResult {
    let fake = Fake::default();
    let page = |jobs: &[i64], next: &str| {
        Ok(ListJobsResponse {
            jobs: jobs.iter().map(|revision| active(*revision)).collect(),
            next_page_token: next.to_owned(),
            unreadable: Vec::new(),
        })
    };
    fake.script()
        .pages
        .extend([page(&[1, 2], "a"), page(&[], "b"), page(&[3], "")]);
    let client = client(fake.serve().await?).await?;
    let jobs: Vec<_> = client.jobs(ListJobsRequest::default()).collect().await;
    let revisions: Vec<_> = jobs
        .into_iter()
        .map(|job| job.map(|job| job.revision))
        .collect::<Result<_, _>>()?;
    assert_eq!(revisions, [1, 2, 3]);
    assert_eq!(fake.requests("list"), ["", "a", "b"]);
    Ok(())
}

#[tokio::test]
async fn a_watch_survives_servers_that_stop_and_drops_old_states() -> TestResult {
    let fake = Fake::default();
    fake.script().watches.extend([
        Scene {
            steps: vec![
                Ok(active(1)),
                Ok(active(3)),
                Err(refusal(Code::Unavailable, "stopping")),
            ],
            open: false,
        },
        // Refused at once, as a server that is starting does.
        Scene {
            steps: vec![Err(busy(Code::Unavailable, Duration::from_millis(5)))],
            open: false,
        },
        // Ends without a final state.
        Scene {
            steps: vec![Ok(active(3)), Ok(active(2)), Ok(active(4))],
            open: false,
        },
        // Stays open after the final state: the watch ends by itself.
        Scene {
            steps: vec![Ok(active(4)), Ok(done(7))],
            open: true,
        },
    ]);
    let client = client(fake.serve().await?).await?;
    assert_eq!(
        collect(client.watch(&name(), None)).await,
        (vec![1, 3, 4, 7], None)
    );
    assert_eq!(fake.requests("watch"), ["partitions/p/jobs/j"; 4]);
    Ok(())
}

#[tokio::test]
async fn a_job_that_was_created_again_is_another_job() -> TestResult {
    let fake = Fake::default();
    fake.script().watches.extend([
        Scene {
            steps: vec![Ok(active(9)), Err(refusal(Code::Unavailable, "stopping"))],
            open: false,
        },
        Scene {
            steps: vec![
                Ok(state("v", 1, JobState::Active)),
                Ok(state("v", 2, JobState::Failed)),
            ],
            open: false,
        },
    ]);
    let client = client(fake.serve().await?).await?;
    assert_eq!(
        collect(client.watch(&name(), None)).await,
        (vec![9, 1, 2], None)
    );
    Ok(())
}

#[tokio::test]
async fn a_deleted_job_ends_its_watch() -> TestResult {
    let fake = Fake::default();
    fake.script().watches.push_back(Scene {
        steps: vec![Ok(active(1)), Err(refusal(Code::NotFound, "deleted"))],
        open: false,
    });
    let client = client(fake.serve().await?).await?;
    assert_eq!(
        collect(client.watch(&name(), None)).await,
        (vec![1], Some(Code::NotFound))
    );
    assert_eq!(fake.requests("watch").len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_watch_survives_a_cut_connection() -> TestResult {
    let fake = Fake::default();
    fake.script().watches.extend([
        Scene {
            steps: vec![Ok(active(1))],
            open: true,
        },
        Scene {
            steps: vec![Ok(active(2))],
            open: true,
        },
        Scene {
            steps: vec![Ok(active(2)), Ok(done(3))],
            open: true,
        },
    ]);
    let proxy = Proxy::start(fake.serve().await?).await?;
    let client = client(proxy.address).await?;
    let mut watch = client.watch(&name(), Some(Duration::from_millis(10)));
    for revision in [1, 2] {
        let job = watch.next().await.ok_or("the watch ended")??;
        assert_eq!(job.revision, revision);
        proxy.cut();
    }
    assert_eq!(collect(watch).await, (vec![3], None));
    Ok(())
}

#[tokio::test]
async fn the_patience_of_a_watch_ends() -> TestResult {
    let fake = Fake::default();
    let down = || Scene {
        steps: vec![Err(refusal(Code::Unavailable, "down"))],
        open: false,
    };
    fake.script().watches.extend((0..100).map(|_| down()));
    let mut config = quick(fake.serve().await?);
    config.watch_patience = Duration::from_millis(30);
    let client = Client::connect(config).await?;
    assert_eq!(
        collect(client.watch(&name(), None)).await,
        (vec![], Some(Code::Unavailable))
    );
    let tries = fake.requests("watch").len();
    assert!((2..50).contains(&tries), "{tries} tries");
    Ok(())
}
