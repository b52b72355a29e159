//! Watches of partitions and of the audit log, and lists by pages, against a scripted server.

// Each test program uses another part of it.
#[allow(dead_code)]
mod fake;

use std::error::Error as StdError;

use fake::{Fake, Scene, client, refusal, state};
use futures::{StreamExt, TryStreamExt};
use headway::v1::{
    AuditEvent, Batch, JobState, ListBatchesRequest, ListBatchesResponse, ListEventsRequest,
    ListEventsResponse, ListPipesResponse, Pipe, RemovedJob, WatchEventsRequest,
    WatchEventsResponse, WatchJobsRequest, WatchJobsResponse,
};
use headway_client::Code;

type TestResult = Result<(), Box<dyn StdError>>;

fn jobs(jobs: &[(&str, i64)], token: &str) -> WatchJobsResponse {
    let jobs = jobs.iter();
    WatchJobsResponse {
        jobs: jobs
            .map(|(uid, revision)| state(uid, *revision, JobState::Active))
            .collect(),
        resume_token: token.to_owned(),
        ..WatchJobsResponse::default()
    }
}

fn events(cursors: &[&str], last: &str) -> WatchEventsResponse {
    let events = cursors.iter().map(|cursor| AuditEvent {
        cursor: (*cursor).to_owned(),
        ..AuditEvent::default()
    });
    WatchEventsResponse {
        events: events.collect(),
        resume_token: last.to_owned(),
    }
}

#[tokio::test]
async fn a_watch_of_jobs_goes_on_and_repeats_nothing() -> TestResult {
    let fake = Fake::default();
    let listing = WatchJobsResponse {
        listing_begins: true,
        ..jobs(&[("a", 1), ("b", 1)], "")
    };
    let listed = WatchJobsResponse {
        listing_complete: true,
        next_page_token: "more".to_owned(),
        ..jobs(&[], "one")
    };
    let removal = WatchJobsResponse {
        removed: vec![RemovedJob {
            uid: "b".to_owned(),
            ..RemovedJob::default()
        }],
        listing_complete: true,
        ..jobs(&[("a", 2), ("c", 1)], "three")
    };
    let again = WatchJobsResponse {
        listing_begins: true,
        ..jobs(&[("a", 2)], "")
    };
    fake.script().jobs_watches.extend([
        Scene {
            steps: vec![Ok(listing), Ok(listed), Ok(jobs(&[("a", 2)], "two"))],
            open: false,
        },
        Scene {
            steps: vec![
                Ok(removal),
                Ok(jobs(&[], "four")),
                Err(refusal(Code::Unavailable, "stops")),
            ],
            open: false,
        },
        // The token has expired: a listing begins again.
        Scene {
            steps: vec![Ok(again), Err(refusal(Code::InvalidArgument, "no"))],
            open: false,
        },
    ]);
    let client = client(fake.serve().await?).await?;
    let updates = client.watch_jobs(WatchJobsRequest::default());
    let (mut seen, mut end) = (Vec::new(), None);
    for update in updates.collect::<Vec<_>>().await {
        match update {
            Ok(update) => {
                let jobs = update.jobs.iter();
                let jobs: Vec<_> = jobs.map(|job| (job.uid.clone(), job.revision)).collect();
                seen.push((
                    jobs,
                    update.removed.len(),
                    update.listing_begins,
                    update.listing_complete,
                ));
            }
            Err(error) => end = Some(error.code()),
        }
    }
    let at = |uid: &str, revision: i64| (uid.to_owned(), revision);
    assert_eq!(
        seen,
        [
            (vec![at("a", 1), at("b", 1)], 0, true, false),
            (vec![], 0, false, true),
            (vec![at("a", 2)], 0, false, false),
            (vec![at("c", 1)], 1, false, true),
            (vec![at("a", 2)], 0, true, false),
        ]
    );
    assert_eq!(end, Some(Code::InvalidArgument));
    assert_eq!(fake.requests("watch jobs"), ["", "two", "four"]);
    Ok(())
}

#[tokio::test]
async fn a_watch_of_events_goes_on_at_its_cursor() -> TestResult {
    let fake = Fake::default();
    fake.script().events_watches.extend([
        Scene {
            steps: vec![Ok(events(&["1", "2"], "2")), Ok(events(&[], "5"))],
            open: false,
        },
        Scene {
            steps: vec![
                Ok(events(&["6"], "6")),
                Err(refusal(Code::OutOfRange, "expired")),
            ],
            open: false,
        },
    ]);
    let client = client(fake.serve().await?).await?;
    let request = WatchEventsRequest {
        resume_token: "0".to_owned(),
        ..WatchEventsRequest::default()
    };
    let mut watch = client.watch_events(request);
    let mut cursors = Vec::new();
    let error = loop {
        match watch.next().await.expect("an end is an error") {
            Ok(event) => cursors.push(event.cursor),
            Err(error) => break error,
        }
    };
    assert_eq!(cursors, ["1", "2", "6"]);
    assert_eq!(error.code(), Code::OutOfRange);
    assert!(watch.next().await.is_none());
    assert_eq!(fake.requests("watch events"), ["0", "5"]);
    Ok(())
}

#[tokio::test]
async fn lists_come_page_by_page() -> TestResult {
    let fake = Fake::default();
    let page = |cursors: &[&str], next: &str| ListEventsResponse {
        events: events(cursors, "").events,
        next_page_token: next.to_owned(),
        ..ListEventsResponse::default()
    };
    let batch = |name: &str, next: &str| ListBatchesResponse {
        batches: vec![Batch {
            name: name.to_owned(),
            ..Batch::default()
        }],
        next_page_token: next.to_owned(),
        ..ListBatchesResponse::default()
    };
    let pipe = |name: &str, next: &str| ListPipesResponse {
        pipes: vec![Pipe {
            name: name.to_owned(),
            ..Pipe::default()
        }],
        next_page_token: next.to_owned(),
    };
    {
        let mut script = fake.script();
        script
            .event_pages
            .extend([page(&["1"], "1"), page(&[], "4"), page(&["5"], "")]);
        script.batch_pages.extend([batch("x", "t"), batch("y", "")]);
        script.pipe_pages.extend([pipe("p", "u"), pipe("q", "")]);
    }
    let client = client(fake.serve().await?).await?;
    let listed = client.events(ListEventsRequest::default());
    let cursors: Vec<_> = listed.map_ok(|event| event.cursor).try_collect().await?;
    assert_eq!(cursors, ["1", "5"]);
    assert_eq!(fake.requests("events"), ["", "1", "4"]);
    let listed = client.batches(ListBatchesRequest::default());
    let names: Vec<_> = listed.map_ok(|batch| batch.name).try_collect().await?;
    assert_eq!(names, ["x", "y"]);
    let names: Vec<_> = client
        .pipes("p")
        .map_ok(|pipe| pipe.name)
        .try_collect()
        .await?;
    assert_eq!(names, ["p", "q"]);
    assert_eq!(fake.requests("pipes"), ["", "u"]);
    Ok(())
}
