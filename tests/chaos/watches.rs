//! Watches while their server is killed again and again.

use std::{collections::BTreeSet, time::Duration};

use futures::StreamExt;
use headway::v1::{EventKind, JobState, WatchEventsRequest, WatchJobsRequest};
use headway_client::{Client, JobName, is_final};
use headway_tests::{ClusterOptions, Role, outcome_counts, range};

use crate::{PROGRAM, alone, plan::Plan};

const ITEMS: u32 = 20_000;
const KILLS: u32 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_survives_ten_kills_of_its_server() {
    let options = ClusterOptions::new(PROGRAM).with(|options| options.concurrency = 16);
    alone(options, |cluster, _services| async move {
        let mut plan = Plan::of_environment();
        let name = cluster
            .create("watched", range(ITEMS, 500).items_per_message(2).build())
            .await;
        let kills = async {
            for turn in 1..=KILLS {
                cluster.ran(plan.moment(ITEMS, turn, KILLS + 2)).await;
                cluster.restart(Role::Server, 0).await.unwrap();
            }
        };
        let watching = async {
            let mut states = cluster.client().watch(&name, Some(Duration::ZERO));
            let mut last: Option<headway::v1::Job> = None;
            while let Some(state) = states.next().await {
                let job = state.unwrap();
                if let Some(before) = &last {
                    assert_eq!(before.uid, job.uid);
                    assert!(!is_final(before.state()), "a state after the final one");
                    assert!(
                        job.revision > before.revision,
                        "{} came after {}",
                        job.revision,
                        before.revision
                    );
                }
                last = Some(job);
            }
            last.unwrap()
        };
        let client = cluster.client();
        let (last, of_partition, (), ()) = tokio::join!(
            watching,
            follow_partition(client, &name),
            follow_log(client),
            kills
        );
        assert_eq!(of_partition.revision, last.revision);
        assert_eq!(last.state(), JobState::Completed);
        assert_eq!(outcome_counts(&last), [ITEMS.into(), ITEMS.into(), 0, 0]);
        let job = cluster.finish(&name, JobState::Completed).await;
        assert!(last.revision >= job.revision, "the final state was missed");
    })
    .await;
}

/// Follows the job's partition until the job has ended: no state twice, none out of order.
async fn follow_partition(client: &Client, name: &JobName) -> headway::v1::Job {
    let mut updates = client.watch_jobs(WatchJobsRequest {
        parent: "partitions/default".to_owned(),
        min_interval: Some(prost_types::Duration::default()),
        ..WatchJobsRequest::default()
    });
    let mut revision = 0;
    loop {
        let update = updates.next().await.unwrap().unwrap();
        assert!(update.removed.is_empty());
        for job in update.jobs {
            assert_eq!(job.name, name.to_string());
            assert!(
                job.revision > revision,
                "{} came after {revision}",
                job.revision
            );
            revision = job.revision;
            if is_final(job.state()) {
                return job;
            }
        }
    }
}

/// Follows the audit log until the job has ended: each event once.
async fn follow_log(client: &Client) {
    let mut events = client.watch_events(WatchEventsRequest {
        parent: "partitions/default".to_owned(),
        ..WatchEventsRequest::default()
    });
    let mut seen = BTreeSet::new();
    let mut revision = 0;
    loop {
        let event = events.next().await.unwrap().unwrap();
        assert!(seen.insert(event.cursor.clone()), "an event came twice");
        assert!(event.revision >= revision, "events are in order");
        revision = event.revision;
        match event.kind() {
            EventKind::JobCompleted => return,
            EventKind::JobCreated | EventKind::JobStarted | EventKind::JobBatchSplit => {}
            other => panic!("{other:?}"),
        }
    }
}
