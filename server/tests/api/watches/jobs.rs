//! WatchJobs from a client's side.

use std::collections::BTreeMap;

use headway::v1::{self, JobState};
use headway_server::Limits;
use tokio::time::{Instant, timeout};
use tonic::Code;

use super::{
    control, delete, never_repair,
    stream::{Watch, all, only},
};
use crate::harness::{Harness, PARENT, PATIENCE, fields, name, refused, request, task};

#[tokio::test]
async fn a_listing_then_what_changes_then_what_is_gone() {
    let harness = Harness::start_with(never_repair).await;
    let first = harness.create("a").await;
    harness.create("b").await;
    let mut other = request("elsewhere", task());
    other.parent = "partitions/other".to_owned();
    harness.client.clone().create_job(other).await.unwrap();

    let mut watch = Watch::open(&harness, all()).await;
    let begin = watch.read().await;
    assert!(
        begin.listing_begins && begin.listing_complete,
        "one message has it all"
    );
    assert_eq!(watch.ids(), ["a", "b"]);
    let Some(v1::job_spec::Work::Task(work)) = watch.jobs[&name("a")].spec.clone().unwrap().work
    else {
        panic!("not a task")
    };
    assert!(work.payload.is_empty(), "watches leave the payload out");

    harness.create("c").await;
    watch.until(|jobs| jobs.contains_key(&name("c"))).await;
    harness.finish(&first).await;
    watch.until_state("a", JobState::Completed).await;
    delete(&harness, "b").await;
    watch.until(|jobs| !jobs.contains_key(&name("b"))).await;
    assert_eq!(watch.ids(), ["a", "c"]);
    harness.stop().await;
}

#[tokio::test]
async fn jobs_that_do_not_match_any_more_are_removed() {
    let harness = Harness::start_with(never_repair).await;
    let job = harness.create("a").await;
    let mut labelled = task();
    labelled.labels.insert("team".into(), "x".into());
    harness.create_spec("b", labelled).await;
    let mut active = Watch::listed(&harness, only(&[JobState::Active])).await;
    let mut completed = Watch::listed(&harness, only(&[JobState::Completed])).await;
    let mut team = all();
    team.filter = "labels.team = x".to_owned();
    let mut team = Watch::listed(&harness, team).await;
    assert_eq!(active.ids(), ["a", "b"]);
    assert_eq!(completed.ids(), [""; 0]);
    assert_eq!(team.ids(), ["b"]);

    harness.finish(&job).await;
    completed.until_state("a", JobState::Completed).await;
    active.until(|jobs| jobs.len() == 1).await;
    control(&harness, "b").await;
    team.until_state("b", JobState::Paused).await;
    assert_eq!(team.told, 2, "of jobs with other labels nothing is told");
    active.until(BTreeMap::is_empty).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_filter_decides_who_comes_and_goes() {
    let harness = Harness::start_with(never_repair).await;
    harness.create("a").await;
    harness.create("b").await;
    let request = v1::WatchJobsRequest {
        filter: "NOT state = PAUSED AND id != a".to_owned(),
        ..all()
    };
    let mut watch = Watch::listed(&harness, request.clone()).await;
    assert_eq!(watch.ids(), ["b"]);
    for change in 1..=5 {
        control(&harness, "a").await;
        let resume = v1::ResumeJobRequest {
            name: name("a"),
            ..v1::ResumeJobRequest::default()
        };
        harness.client.clone().resume_job(resume).await.unwrap();
        harness.create(&format!("c{change}")).await;
    }
    watch.until(|jobs| jobs.len() == 6).await;
    control(&harness, "b").await;
    watch
        .until(|jobs| !jobs.contains_key(&name("b")) && jobs.len() == 5)
        .await;
    // Of a job that can never match nothing is told.
    assert_eq!(watch.gone, [name("b")]);
    let resume = v1::ResumeJobRequest {
        name: name("b"),
        ..v1::ResumeJobRequest::default()
    };
    harness.client.clone().resume_job(resume).await.unwrap();
    watch.until_state("b", JobState::Active).await;

    // What it misses is filtered too, and its token is good for no other filter.
    let token = watch.token.clone();
    drop(watch);
    control(&harness, "a").await;
    control(&harness, "c1").await;
    let request = v1::WatchJobsRequest {
        resume_token: token,
        ..request
    };
    let mut watch = Watch::open(&harness, request.clone()).await;
    let mut gone = Vec::new();
    loop {
        let message = watch.read().await;
        assert!(!message.listing_begins && message.jobs.iter().all(|job| job.name != name("a")));
        gone.extend(message.removed.into_iter().map(|gone| gone.name));
        if message.listing_complete {
            break;
        }
    }
    assert_eq!(gone, [name("c1")]);
    let other = v1::WatchJobsRequest {
        filter: "id != a".to_owned(),
        ..request
    };
    let answer = harness.client.clone().watch_jobs(other).await.map(|_| ());
    let (_, details) = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&details), ["resume_token"]);
    let bad = v1::WatchJobsRequest {
        filter: "state = BUSY".to_owned(),
        ..all()
    };
    let answer = harness.client.clone().watch_jobs(bad).await.map(|_| ());
    let (_, details) = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&details), ["filter"]);
    harness.stop().await;
}

#[tokio::test]
async fn a_bounded_listing_says_where_the_rest_is() {
    let harness = Harness::start_with(never_repair).await;
    for number in 0..5 {
        harness.create(&format!("j{number}")).await;
    }
    let request = v1::WatchJobsRequest {
        max_listed: 2,
        ..all()
    };
    let mut watch = Watch::listed(&harness, request).await;
    assert_eq!(watch.ids(), ["j3", "j4"]);
    let request = v1::ListJobsRequest {
        parent: PARENT.to_owned(),
        page_token: watch.next_page_token.clone(),
        ..v1::ListJobsRequest::default()
    };
    let rest = harness.client.clone().list_jobs(request).await;
    let rest = rest.unwrap().into_inner().jobs;
    let rest: Vec<_> = rest.iter().map(|job| job.name.clone()).collect();
    assert_eq!(rest, [name("j2"), name("j1"), name("j0")]);
    // What was not listed is told once it changes.
    control(&harness, "j0").await;
    watch.until_state("j0", JobState::Paused).await;
    harness.stop().await;
}

#[tokio::test]
async fn changes_within_an_interval_are_one_message() {
    let harness = Harness::start_with(never_repair).await;
    let request = v1::WatchJobsRequest {
        min_interval: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
        ..all()
    };
    let mut watch = Watch::listed(&harness, request).await;
    harness.create("first").await;
    watch.until(|jobs| jobs.len() == 1).await;
    let told = watch.told;
    for number in 0..20 {
        harness.create(&format!("j{number}")).await;
    }
    watch.until(|jobs| jobs.len() == 21).await;
    assert!(watch.told - told <= 2, "{} messages", watch.told - told);
    harness.stop().await;
}

#[tokio::test]
async fn the_server_ends_streams_when_it_stops_and_bounds_their_number() {
    let harness = Harness::start_with(|mut parts| {
        parts.limits = Limits {
            partition_watches: 1,
            ..Limits::default()
        };
        parts
    })
    .await;
    let mut watch = Watch::listed(&harness, all()).await;
    let second = harness.client.clone().watch_jobs(all()).await;
    refused(
        second.map(|_| ()),
        Code::ResourceExhausted,
        "TOO_MANY_WATCHES",
    );
    harness.shutdown.cancel();
    let end = loop {
        match timeout(PATIENCE, watch.stream.message()).await.unwrap() {
            Ok(message) => assert!(message.is_some(), "it ends with an error"),
            Err(status) => break status,
        }
    };
    let (_, details) = refused::<()>(Err(end), Code::Unavailable, "SERVER_STOPPING");
    assert!(details.retry_info().is_some());
    harness.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_dropped_gives_its_place_back() {
    let harness = Harness::start_with(|mut parts| {
        parts.limits.partition_watches = 1;
        parts
    })
    .await;
    drop(Watch::listed(&harness, all()).await);
    // The server learns of it a moment later.
    let since = Instant::now();
    while harness.client.clone().watch_jobs(all()).await.is_err() {
        assert!(since.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
    harness.stop().await;
}

#[tokio::test]
async fn bad_requests_name_every_field() {
    let harness = Harness::start().await;
    let token = Watch::listed(&harness, all()).await.token;
    let duration = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let bad = v1::WatchJobsRequest {
        parent: "p".to_owned(),
        max_listed: -1,
        min_interval: duration(61),
        bookmark_interval: duration(0),
        resume_token: "x".to_owned(),
        filter: "state = BUSY".to_owned(),
    };
    let answer = harness.client.clone().watch_jobs(bad).await.map(|_| ());
    let (_, details) = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
    // The last ones of many are left out.
    let expected = [
        "parent",
        "filter",
        "max_listed",
        "min_interval",
        "bookmark_interval",
        "resume_token",
    ];
    assert_eq!(fields(&details), expected);
    let of_another = v1::WatchJobsRequest {
        resume_token: token,
        ..only(&[JobState::Failed])
    };
    let answer = harness
        .client
        .clone()
        .watch_jobs(of_another)
        .await
        .map(|_| ());
    let (_, details) = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&details), ["resume_token"]);
    harness.stop().await;
}
