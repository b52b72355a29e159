//! WatchJob from a client's side.

use std::time::{Duration, Instant};

use headway::v1::{self, JobState};
use headway_domain::events::Caller;
use headway_server::Limits;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use crate::harness::{Harness, PATIENCE, batch, name, refused, uid};

async fn watch(harness: &Harness, id: &str, interval_ms: i32) -> Streaming<v1::WatchJobResponse> {
    let request = v1::WatchJobRequest {
        name: name(id),
        min_interval: Some(prost_types::Duration {
            seconds: 0,
            nanos: interval_ms * 1_000_000,
        }),
        ..v1::WatchJobRequest::default()
    };
    let stream = harness.client.clone().watch_job(request).await;
    stream.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<v1::WatchJobResponse>) -> Result<Option<v1::Job>, Status> {
    let message = timeout(PATIENCE, stream.message()).await.unwrap()?;
    Ok(message.map(|message| message.job.unwrap()))
}

#[tokio::test]
async fn snapshot_changes_final_state_end() {
    let harness = Harness::start().await;
    let job = harness.create_spec("many", batch()).await;
    let mut first = watch(&harness, "many", 0).await;
    let mut second = watch(&harness, "many", 0).await;
    let snapshot = next(&mut first).await.unwrap().unwrap();
    assert_eq!(snapshot.uid, job.uid);
    let Some(v1::job_spec::Work::Batch(work)) = snapshot.spec.unwrap().work else {
        panic!("not a batch")
    };
    assert_eq!(work.definition, None, "watches leave the definition out");
    next(&mut second).await.unwrap().unwrap();

    harness.split(&job, 5).await;
    let mut revision = snapshot.revision;
    for index in 0..5 {
        let committed = harness.report(&job, vec![index], &[]).await;
        harness.relay.publish(committed).await;
    }
    for stream in [&mut first, &mut second] {
        let mut last = None;
        while let Some(job) = next(stream).await.unwrap() {
            if let Some(before) = last.as_ref().map(|job: &v1::Job| job.revision) {
                assert!(job.revision > before, "revisions rise");
            }
            revision = revision.max(job.revision);
            last = Some(job);
        }
        let last = last.unwrap();
        assert_eq!(last.state(), JobState::Completed);
        let progress = last.progress.unwrap();
        assert_eq!((progress.items_done, progress.percentage), (5, 100.0));
    }
    // A watch of an ended job is its final state.
    let mut late = watch(&harness, "many", 0).await;
    assert_eq!(next(&mut late).await.unwrap().unwrap().revision, revision);
    assert!(next(&mut late).await.unwrap().is_none());
    harness.stop().await;
}

#[tokio::test]
async fn a_change_is_seen_soon() {
    let harness = Harness::start_with(slow_repair).await;
    let job = harness.create("one").await;
    let mut stream = watch(&harness, "one", 0).await;
    next(&mut stream).await.unwrap().unwrap();
    let started = Instant::now();
    harness.finish(&job).await;
    assert_eq!(
        next(&mut stream).await.unwrap().unwrap().state(),
        JobState::Completed
    );
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "it came by an event, not by repair"
    );
    harness.stop().await;
}

#[tokio::test]
async fn a_change_between_snapshot_and_subscription_is_found() {
    let harness = Harness::start_with(slow_repair).await;
    let job = harness.create("one").await;
    // Another watch of the same job makes sure that the hub listens already; the change is not
    // told.
    let mut early = watch(&harness, "one", 0).await;
    next(&mut early).await.unwrap().unwrap();
    let lost = harness.report(&job, vec![0], &[]).await;
    drop(lost);
    let mut late = watch(&harness, "one", 0).await;
    assert_eq!(
        next(&mut late).await.unwrap().unwrap().state(),
        JobState::Completed
    );
    // What the later watcher's snapshot says, the earlier one learns.
    assert_eq!(
        next(&mut early).await.unwrap().unwrap().state(),
        JobState::Completed
    );
    harness.stop().await;
}

#[tokio::test]
async fn a_lost_event_is_repaired() {
    let harness = Harness::start().await;
    let job = harness.create("one").await;
    let mut stream = watch(&harness, "one", 0).await;
    next(&mut stream).await.unwrap().unwrap();
    let lost = harness.report(&job, vec![0], &[]).await;
    drop(lost);
    assert_eq!(
        next(&mut stream).await.unwrap().unwrap().state(),
        JobState::Completed
    );
    harness.stop().await;
}

#[tokio::test]
async fn the_watch_of_a_deleted_job_ends_although_a_new_one_has_its_name() {
    let harness = Harness::start_with(slow_repair).await;
    let old = harness.create("one").await;
    let mut stream = watch(&harness, "one", 0).await;
    next(&mut stream).await.unwrap().unwrap();
    let delete = v1::DeleteJobRequest {
        name: name("one"),
        ..v1::DeleteJobRequest::default()
    };
    harness.client.clone().delete_job(delete).await.unwrap();
    let new = harness.create("one").await;
    assert_ne!(uid(&old), uid(&new));
    let ended = loop {
        match next(&mut stream).await {
            Ok(Some(job)) => assert_eq!(job.uid, old.uid),
            other => break other,
        }
    };
    refused(ended, Code::NotFound, "JOB_NOT_FOUND");
    harness.stop().await;
}

#[tokio::test]
async fn a_deletion_that_nobody_told_is_found() {
    let harness = Harness::start().await;
    harness.create("one").await;
    let mut stream = watch(&harness, "one", 0).await;
    next(&mut stream).await.unwrap().unwrap();
    let lost = harness
        .store()
        .delete_job(&name("one").parse().unwrap(), &Caller::default())
        .await;
    drop(lost.unwrap());
    refused(next(&mut stream).await, Code::NotFound, "JOB_NOT_FOUND");
    harness.stop().await;
}

#[tokio::test]
async fn a_shutdown_ends_watches_at_once() {
    let harness = Harness::start().await;
    harness.create("one").await;
    let mut stream = watch(&harness, "one", 60_000 / 100).await;
    next(&mut stream).await.unwrap().unwrap();
    let started = Instant::now();
    harness.shutdown.cancel();
    let (_, details) = refused(
        next(&mut stream).await,
        Code::Unavailable,
        "SERVER_STOPPING",
    );
    assert!(details.retry_info().is_some());
    harness.stop().await;
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "no drain was waited out"
    );
}

/// The next message as it is, and what it goes on with.
async fn message(stream: &mut Streaming<v1::WatchJobResponse>) -> v1::WatchJobResponse {
    let message = timeout(PATIENCE, stream.message()).await.unwrap();
    message.unwrap().unwrap()
}

async fn resume(harness: &Harness, token: &str) -> Streaming<v1::WatchJobResponse> {
    let request = v1::WatchJobRequest {
        name: name("one"),
        resume_token: token.to_owned(),
        bookmark_interval: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
        ..v1::WatchJobRequest::default()
    };
    let stream = harness.client.clone().watch_job(request).await;
    stream.unwrap().into_inner()
}

#[tokio::test]
async fn a_lost_stream_goes_on_where_it_was() {
    let harness = Harness::start().await;
    let job = harness.create("one").await;
    let first = message(&mut resume(&harness, "").await).await;
    assert_eq!(first.job.unwrap().revision, job.revision);
    let mut lost = resume(&harness, &first.resume_token).await;
    let bookmark = message(&mut lost).await;
    assert_eq!(
        bookmark.job, None,
        "nothing changed, so a bookmark is first"
    );
    drop(lost);
    harness.finish(&job).await;
    let mut again = resume(&harness, &bookmark.resume_token).await;
    let last = message(&mut again).await;
    assert_eq!(last.job.unwrap().state(), JobState::Completed);
    assert!(again.message().await.unwrap().is_none());
    let mut shown = resume(&harness, &last.resume_token).await;
    let end = timeout(PATIENCE, shown.message()).await.unwrap();
    assert!(end.unwrap().is_none(), "the final state was shown");
    // Another job under the name begins again.
    let delete = v1::DeleteJobRequest {
        name: name("one"),
        ..v1::DeleteJobRequest::default()
    };
    harness.client.clone().delete_job(delete).await.unwrap();
    let other = harness.create("one").await;
    let anew = message(&mut resume(&harness, &last.resume_token).await).await;
    assert_eq!(anew.job.unwrap().uid, other.uid);
    harness.stop().await;
}

#[tokio::test]
async fn watches_are_bounded_and_places_come_back() {
    let harness = Harness::start_with(|mut parts| {
        parts.limits.watches = 1;
        parts
    })
    .await;
    harness.create("one").await;
    let mut first = watch(&harness, "one", 0).await;
    next(&mut first).await.unwrap().unwrap();
    let request = || v1::WatchJobRequest {
        name: name("one"),
        min_interval: None,
        ..v1::WatchJobRequest::default()
    };
    let mut client = harness.client.clone();
    let (_, details) = refused(
        client.watch_job(request()).await,
        Code::ResourceExhausted,
        "TOO_MANY_WATCHES",
    );
    assert!(details.retry_info().is_some());
    drop(first);
    // The server learns of it a moment later.
    let freed = async {
        while client.watch_job(request()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, freed).await.unwrap();
    harness.stop().await;
}

#[tokio::test]
async fn a_watch_outlives_a_database_that_is_away() {
    let harness = Harness::start_with(|mut parts| {
        parts.limits.repair_interval = Duration::from_millis(5);
        parts
    })
    .await;
    harness.create("one").await;
    let mut stream = watch(&harness, "one", 0).await;
    next(&mut stream).await.unwrap().unwrap();
    harness.store().close().await;
    let read = v1::GetJobRequest { name: name("one") };
    let answer = harness.client.clone().get_job(read).await;
    let (_, details) = refused(answer, Code::Unavailable, "DATABASE_UNAVAILABLE");
    assert!(details.retry_info().is_some());
    let silence = timeout(Duration::from_millis(100), stream.message()).await;
    assert!(silence.is_err(), "{silence:?}");
    harness.shutdown.cancel();
    refused(
        next(&mut stream).await,
        Code::Unavailable,
        "SERVER_STOPPING",
    );
    harness.stop().await;
}

/// Whatever is seen then was not found by the periodic repair.
fn slow_repair(mut parts: headway_server::ServerParts) -> headway_server::ServerParts {
    parts.limits = Limits {
        repair_interval: Duration::from_secs(3600),
        ..Limits::default()
    };
    parts
}
