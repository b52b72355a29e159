//! WatchJobs goes on after a lost stream, a lost event or a long silence.

use std::collections::BTreeMap;

use headway::v1::{self, JobState};
use headway_domain::events::Caller;
use tokio::time::{Duration, Instant};

use super::{
    control, delete,
    stream::{Watch, all, only},
};
use crate::harness::{Harness, batch, name};

#[tokio::test]
async fn a_lost_stream_goes_on_with_what_it_missed() {
    let harness = Harness::start().await;
    let jobs = [
        harness.create("changed").await,
        harness.create("same").await,
        harness.create("deleted").await,
    ];
    let watch = Watch::listed(&harness, only(&[JobState::Active, JobState::Completed])).await;
    let (token, known) = (watch.token.clone(), watch.jobs.clone());
    assert!(!token.is_empty());
    drop(watch);
    harness.finish(&jobs[0]).await;
    delete(&harness, "deleted").await;
    harness.create("new").await;
    harness.create("held").await;
    control(&harness, "held").await;

    // On a client that has what it had, and one that begins again: both end up with the same.
    let request = v1::WatchJobsRequest {
        resume_token: token,
        ..only(&[JobState::Active, JobState::Completed])
    };
    let mut again = Watch::open(&harness, request).await;
    loop {
        let message = again.read().await;
        assert!(!message.listing_begins, "it goes on and does not list");
        if message.listing_complete {
            break;
        }
    }
    let mut merged = known;
    merged.remove(&name("deleted"));
    merged.extend(again.jobs.clone());
    let fresh = Watch::listed(&harness, only(&[JobState::Active, JobState::Completed])).await;
    let revisions = |jobs: &BTreeMap<String, v1::Job>| -> Vec<(String, i64)> {
        let jobs = jobs.iter();
        jobs.map(|(name, job)| (name.clone(), job.revision))
            .collect()
    };
    assert_eq!(revisions(&merged), revisions(&fresh.jobs));
    assert_eq!(fresh.ids(), ["changed", "new", "same"]);
    harness.stop().await;
}

#[tokio::test]
async fn a_stream_goes_on_at_another_server() {
    let one = Harness::start().await;
    let job = one.create("a").await;
    one.create("same").await;
    let mut watch = Watch::listed(&one, all()).await;
    let two = one.another_server().await;
    one.finish(&job).await;
    watch.until_state("a", JobState::Completed).await;
    // Of what the first server showed lately the second may show again what is no older.
    let request = v1::WatchJobsRequest {
        resume_token: watch.token.clone(),
        ..all()
    };
    watch.stream = two.clone().watch_jobs(request).await.unwrap().into_inner();
    watch.jobs.clear();
    let first = watch.read().await;
    assert!(!first.listing_begins && first.listing_complete);
    // What is done through one is seen through the other.
    control(&one, "same").await;
    watch.until_state("same", JobState::Paused).await;
    one.stop().await;
}

#[tokio::test]
async fn lost_events_are_repaired_within_two_seconds() {
    let harness = Harness::start().await;
    let job = harness.create_spec("many", batch()).await;
    harness.split(&job, 5).await;
    let mut watch = Watch::listed(&harness, all()).await;
    for index in 0..4 {
        // Nobody is told.
        drop(harness.report(&job, vec![index], &[]).await);
        let since = Instant::now();
        let done = i64::from(index) + 1;
        watch
            .until(|jobs| {
                let progress = jobs[&name("many")].progress;
                progress.is_some_and(|progress| progress.items_done == done)
            })
            .await;
        assert!(
            since.elapsed() < Duration::from_secs(2),
            "{:?}",
            since.elapsed()
        );
    }
    let since = Instant::now();
    let many = name("many").parse().unwrap();
    let deleted = harness.store().delete_job(&many, &Caller::default()).await;
    drop(deleted.unwrap());
    watch.until(BTreeMap::is_empty).await;
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "{:?}",
        since.elapsed()
    );
    harness.stop().await;
}

#[tokio::test]
async fn bookmarks_keep_a_quiet_stream_alive_and_move_its_token() {
    let harness = Harness::start().await;
    harness.create("a").await;
    let request = v1::WatchJobsRequest {
        bookmark_interval: Some(prost_types::Duration {
            seconds: 1,
            nanos: 0,
        }),
        ..all()
    };
    let mut watch = Watch::listed(&harness, request).await;
    let told = watch.told;
    let first = watch.token.clone();
    let since = Instant::now();
    watch.read().await;
    watch.read().await;
    assert!(since.elapsed() >= Duration::from_millis(1500));
    assert_eq!((watch.bookmarks, watch.told), (2, told));
    assert_ne!(watch.token, first);
    harness.stop().await;
}
