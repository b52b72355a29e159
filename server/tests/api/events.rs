//! The audit log, from a client's side.

use headway::v1::{self, EventKind, JobState};
use headway_server::ServerParts;
use tokio::time::{Duration, timeout};
use tonic::{Code, Request, Streaming};

use crate::harness::{Harness, PARENT, PATIENCE, batch, fields, name, refused, request, task};

fn list(parent: &str) -> v1::ListEventsRequest {
    v1::ListEventsRequest {
        parent: parent.to_owned(),
        ..v1::ListEventsRequest::default()
    }
}

fn follow(parent: &str, after: &str) -> v1::WatchEventsRequest {
    v1::WatchEventsRequest {
        parent: parent.to_owned(),
        resume_token: after.to_owned(),
        ..v1::WatchEventsRequest::default()
    }
}

async fn events(harness: &Harness, request: v1::ListEventsRequest) -> v1::ListEventsResponse {
    let answer = harness.clients().events.list_events(request).await;
    answer.unwrap().into_inner()
}

fn kinds(events: &[v1::AuditEvent]) -> Vec<EventKind> {
    events.iter().map(v1::AuditEvent::kind).collect()
}

/// Reads this many events.
async fn read(
    stream: &mut Streaming<v1::WatchEventsResponse>,
    count: usize,
) -> Vec<v1::AuditEvent> {
    let mut read = Vec::new();
    while read.len() < count {
        let message = timeout(PATIENCE, stream.message()).await.unwrap().unwrap();
        read.extend(message.expect("such a stream has no end").events);
    }
    read
}

fn said<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let metadata = request.metadata_mut();
    metadata.insert("x-headway-user", "ada".parse().unwrap());
    metadata.insert("x-correlation-id", "call-7".parse().unwrap());
    request
}

fn never_repair(mut parts: ServerParts) -> ServerParts {
    parts.limits.repair_interval = Duration::from_secs(3600);
    parts
}

#[tokio::test]
async fn the_log_tells_a_jobs_life_and_outlives_it() {
    let harness = Harness::start_with(never_repair).await;
    let job = harness.create_spec("j", batch()).await;
    harness.split(&job, 5).await;
    let mut client = harness.client.clone();
    let named = || name("j");
    client
        .pause_job(said(v1::PauseJobRequest {
            name: named(),
            ..v1::PauseJobRequest::default()
        }))
        .await
        .unwrap();
    client
        .resume_job(v1::ResumeJobRequest {
            name: named(),
            ..v1::ResumeJobRequest::default()
        })
        .await
        .unwrap();
    drop(harness.report(&job, vec![0, 1, 2], &[3]).await);
    drop(harness.report(&job, vec![4], &[]).await);
    client
        .retry_job(v1::RetryJobRequest {
            name: named(),
            ..v1::RetryJobRequest::default()
        })
        .await
        .unwrap();
    client
        .cancel_job(v1::CancelJobRequest {
            name: named(),
            ..v1::CancelJobRequest::default()
        })
        .await
        .unwrap();
    client
        .delete_job(v1::DeleteJobRequest {
            name: named(),
            ..v1::DeleteJobRequest::default()
        })
        .await
        .unwrap();

    let log = events(&harness, list(&named())).await;
    use EventKind::*;
    let expected = [
        JobCreated,
        JobStarted,
        JobBatchSplit,
        JobPaused,
        JobResumed,
        JobFailureRecorded,
        JobFailed,
        JobRetried,
        JobCancelled,
    ];
    assert_eq!(kinds(&log.events)[..9], expected);
    assert_eq!(kinds(&log.events).last(), Some(&JobDeleted));
    let paused = &log.events[3];
    assert_eq!(
        (paused.done_by.as_str(), paused.correlation_id.as_str()),
        ("ada", "call-7")
    );
    assert_eq!(paused.state(), JobState::Paused);
    assert_eq!(log.events[2].item_count, 5);
    assert_eq!(log.events[2].batch, format!("{}/batches/1", named()));
    assert_eq!(log.events[5].item_count, 1);
    assert!(
        log.events[5].message.contains("BROKEN"),
        "{}",
        log.events[5].message
    );
    let revisions: Vec<_> = log.events.iter().map(|event| event.revision).collect();
    assert!(revisions.is_sorted(), "{revisions:?}");
    let cursors: std::collections::BTreeSet<_> = log.events.iter().map(|e| &e.cursor).collect();
    assert_eq!(cursors.len(), log.events.len());

    // The uid tells the old job from a new one under its name.
    let new = harness.create("j").await;
    let of_new = events(&harness, list(&named())).await;
    assert!(of_new.events.iter().all(|event| event.job_uid == new.uid));
    let of_old = v1::ListEventsRequest {
        job_uid: job.uid.clone(),
        ..list(&named())
    };
    assert_eq!(events(&harness, of_old.clone()).await.events, log.events);
    let of_all = v1::ListEventsRequest {
        parent: PARENT.to_owned(),
        ..of_old
    };
    let answer = harness.clients().events.list_events(of_all).await;
    let (_, details) = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&details), ["job_uid"]);
    harness.stop().await;
}

#[tokio::test]
async fn pages_and_a_stream_show_the_same_once_each() {
    let harness = Harness::start_with(never_repair).await;
    for number in 0..7 {
        let job = harness.create(&format!("j{number}")).await;
        harness.finish(&job).await;
    }
    let mut other = request("elsewhere", task());
    other.parent = "partitions/other".to_owned();
    harness.client.clone().create_job(other).await.unwrap();
    let all = events(
        &harness,
        v1::ListEventsRequest {
            page_size: 1000,
            ..list(PARENT)
        },
    )
    .await;
    assert_eq!(all.events.len(), 21);
    assert!(all.next_page_token.is_empty());
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let request = v1::ListEventsRequest {
            page_size: 4,
            after,
            ..list(PARENT)
        };
        let page = events(&harness, request).await;
        paged.extend(page.events);
        after = page.next_cursor;
        if page.next_page_token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, all.events);

    let middle = &all.events[9].cursor;
    let mut client = harness.clients().events;
    let stream = client.watch_events(follow(PARENT, middle)).await;
    let mut stream = stream.unwrap().into_inner();
    assert_eq!(read(&mut stream, 11).await, all.events[10..]);
    let job = harness.create("late").await;
    let late = read(&mut stream, 2).await;
    assert_eq!(kinds(&late), [EventKind::JobCreated, EventKind::JobStarted]);
    assert!(late.iter().all(|event| event.job_uid == job.uid));

    // From now on, of one kind, of one job.
    let request = v1::WatchEventsRequest {
        kinds: vec![EventKind::JobCompleted.into()],
        ..follow(&name("late"), "")
    };
    let stream = harness.clients().events.watch_events(request).await;
    let mut stream = stream.unwrap().into_inner();
    harness.create("not-it").await;
    harness.finish(&job).await;
    let completed = read(&mut stream, 1).await;
    assert_eq!(kinds(&completed), [EventKind::JobCompleted]);
    assert_eq!(completed[0].job, name("late"));
    harness.stop().await;
}

#[tokio::test]
async fn a_cursor_that_is_too_old_says_where_the_log_begins() {
    let harness = Harness::start_with(never_repair).await;
    let job = harness.create("j").await;
    let old = events(&harness, list(PARENT)).await.events[0]
        .cursor
        .clone();
    harness.finish(&job).await;
    while harness.store().events().expire(i64::MAX).await.unwrap() {}
    harness.create("k").await;
    let request = v1::ListEventsRequest {
        after: old.clone(),
        ..list(PARENT)
    };
    let answer = harness.clients().events.list_events(request).await;
    let (_, details) = refused(answer, Code::OutOfRange, "CURSOR_EXPIRED");
    let earliest = &details.error_info().unwrap().metadata["earliest_cursor"];
    let request = v1::ListEventsRequest {
        after: earliest.clone(),
        ..list(PARENT)
    };
    let left = events(&harness, request).await.events;
    assert!(left.iter().all(|event| event.job == name("k")) && !left.is_empty());
    let answer = harness
        .clients()
        .events
        .watch_events(follow(PARENT, &old))
        .await;
    refused(answer.map(|_| ()), Code::OutOfRange, "CURSOR_EXPIRED");
    assert_eq!(
        events(&harness, list(PARENT)).await.events,
        left,
        "no cursor is the earliest"
    );
    harness.stop().await;
}

#[tokio::test]
async fn bad_questions_about_events_name_every_field() {
    let harness = Harness::start().await;
    let bad = v1::ListEventsRequest {
        parent: "partitions/a/b".to_owned(),
        job_uid: "x".to_owned(),
        kinds: vec![0],
        after: "x".to_owned(),
        page_size: 1001,
        page_token: String::new(),
    };
    let answer = harness.clients().events.list_events(bad).await;
    let (_, details) = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(
        fields(&details),
        ["parent", "job_uid", "kinds", "after", "page_size"]
    );
    let answer = harness
        .clients()
        .events
        .list_events(list(&name("nobody")))
        .await;
    refused(answer, Code::NotFound, "JOB_NOT_FOUND");
    let answer = harness
        .clients()
        .events
        .watch_events(follow(&name("nobody"), ""))
        .await;
    refused(answer.map(|_| ()), Code::NotFound, "JOB_NOT_FOUND");
    harness.stop().await;
}
