//! Watches of a whole partition, the audit log, the tree of batches and the pipes, of real jobs.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, TryStreamExt};
use headway::v1::{
    AuditEvent, BatchState, EventKind, Job, JobState, ListBatchesRequest, ListEventsRequest,
    WatchEventsRequest, WatchJobsRequest,
};
use headway_client::{BatchBuilder, Client, Code, JobName, is_final};
use headway_runtime::tasks;
use headway_tests::{Deployment, Options, PATIENCE, Record, WORK, range, until};
use serde_json::json;
use tokio::time::timeout;

use crate::handlers::{quick, slow};

on_both!(
    a_partition_is_followed_to_the_last_state,
    the_log_tells_of_each_job_once,
    old_events_go with forgetful,
    a_tree_is_explored_while_it_runs,
    pipes_show_their_load,
);

const PARTITION: &str = "partitions/default";

/// Follows the partition until `enough` of what is known; revisions must rise.
async fn follow_jobs(
    client: &Client,
    enough: impl Fn(&BTreeMap<String, Job>) -> bool,
) -> BTreeMap<String, Job> {
    let mut updates = client.watch_jobs(WatchJobsRequest {
        parent: PARTITION.to_owned(),
        ..WatchJobsRequest::default()
    });
    let mut jobs: BTreeMap<String, Job> = BTreeMap::new();
    while !enough(&jobs) {
        let update = timeout(PATIENCE, updates.next()).await.expect("news");
        let update = update.expect("such a stream has no end").unwrap();
        for gone in update.removed {
            jobs.remove(&gone.name);
        }
        for job in update.jobs {
            let before = jobs.insert(job.name.clone(), job.clone());
            assert!(before.is_none_or(|before| before.revision < job.revision));
        }
    }
    jobs
}

async fn a_partition_is_followed_to_the_last_state(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(slow(&record, Duration::from_millis(1))));
    let watching = tasks::spawn({
        let client = d.client().clone();
        async move {
            follow_jobs(&client, |jobs| {
                jobs.len() == 8 && jobs.values().all(|job| is_final(job.state()))
            })
            .await
        }
    });
    for number in 0..9 {
        d.create(&format!("j{number}"), range(200, 50).build())
            .await;
    }
    let gone: JobName = headway_tests::name("j8");
    d.client().delete_job(&gone).await.unwrap();
    let jobs = watching.await.unwrap();
    for (name, job) in &jobs {
        let settled = d.finish(&name.parse().unwrap(), JobState::Completed).await;
        assert!(settled.revision >= job.revision);
        assert_eq!(job.progress.unwrap_or_default().items_done, 200);
    }
    // Who begins now sees the same, without the one that is gone.
    let listed = follow_jobs(d.client(), |jobs| jobs.len() == 8).await;
    assert!(listed.keys().eq(jobs.keys()));
    let counts = d.client().count_jobs("default").await.unwrap();
    let counts: Vec<_> = counts
        .iter()
        .map(|count| (count.state(), count.job_count))
        .collect();
    assert_eq!(counts, [(JobState::Completed, 8)]);
}

async fn all_events(client: &Client, parent: String) -> Vec<AuditEvent> {
    let request = ListEventsRequest {
        parent,
        page_size: 7,
        ..ListEventsRequest::default()
    };
    client.events(request).try_collect().await.unwrap()
}

async fn the_log_tells_of_each_job_once(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let mut watch = d.client().watch_events(WatchEventsRequest {
        parent: PARTITION.to_owned(),
        ..WatchEventsRequest::default()
    });
    // The stream begins when the server has answered: what happens before need not be in it.
    let first = d.create("first", range(3, 3).build()).await;
    let mut seen = vec![
        timeout(PATIENCE, watch.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap(),
    ];
    let mut names = vec![first];
    for number in 0..20 {
        names.push(d.create(&format!("j{number}"), range(30, 10).build()).await);
    }
    let ends = |events: &[AuditEvent]| {
        let ends = events
            .iter()
            .filter(|event| event.kind() == EventKind::JobCompleted);
        ends.count()
    };
    while ends(&seen) < names.len() {
        let event = timeout(PATIENCE, watch.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        seen.push(event);
    }
    let listed = all_events(d.client(), PARTITION.to_owned()).await;
    let begin = listed
        .iter()
        .position(|event| event.cursor == seen[0].cursor)
        .unwrap();
    assert_eq!(
        listed[begin..][..seen.len()],
        seen,
        "in one order, each once"
    );
    for name in &names {
        let kinds: Vec<_> = all_events(d.client(), name.to_string()).await;
        let mut kinds: Vec<_> = kinds.iter().map(AuditEvent::kind).collect();
        // Of the root and of the batches on the two levels below it.
        kinds.dedup();
        use EventKind::{JobBatchSplit, JobCompleted, JobCreated, JobStarted};
        assert_eq!(
            kinds,
            [JobCreated, JobStarted, JobBatchSplit, JobCompleted],
            "{name}"
        );
    }
}

/// A deployment that keeps events for a second.
fn forgetful(options: &mut Options) {
    options.config.event_retention = Duration::from_secs(1);
}

async fn old_events_go(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let name = d.create("old", range(10, 10).build()).await;
    d.finish(&name, JobState::Completed).await;
    let first = until("an event to be there", PATIENCE, || async {
        let events = all_events(d.client(), PARTITION.to_owned()).await;
        events.into_iter().next()
    })
    .await;
    until("the events to be gone", PATIENCE, || async {
        let events = all_events(d.client(), PARTITION.to_owned()).await;
        events.is_empty().then_some(())
    })
    .await;
    let request = |after: &str| ListEventsRequest {
        parent: PARTITION.to_owned(),
        after: after.to_owned(),
        ..ListEventsRequest::default()
    };
    let error = d
        .client()
        .list_events(request(&first.cursor))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.reason()),
        (Code::OutOfRange, Some("CURSOR_EXPIRED"))
    );
    let earliest = &error.metadata().expect("details")["earliest_cursor"];
    d.client().list_events(request(earliest)).await.unwrap();
}

async fn a_tree_is_explored_while_it_runs(d: Deployment) {
    let record = Record::default();
    let worker = d.worker(|worker| {
        worker
            .concurrency(1)
            .handler(slow(&record, Duration::from_millis(20)))
    });
    // Three arrays of 40 elements.
    let part: Vec<u32> = (0..40).collect();
    let batch = BatchBuilder::new("json")
        .json(&json!([part, part, part]))
        .item(WORK, "number");
    let name = d
        .create("tree", headway_client::JobBuilder::new(batch).build())
        .await;
    let list = async |parent_batch: String| {
        let request = ListBatchesRequest {
            parent: name.to_string(),
            parent_batch,
            page_size: 2,
            ..ListBatchesRequest::default()
        };
        d.client()
            .batches(request)
            .try_collect::<Vec<_>>()
            .await
            .unwrap()
    };
    let root = until("some of it to be done", PATIENCE, || async {
        let root = list(String::new()).await.remove(0);
        (root.total_final && root.items_done > 5).then_some(root)
    })
    .await;
    assert_eq!((root.state(), root.items_known), (BatchState::Active, 120));
    let parts = list(root.name.clone()).await;
    assert_eq!(
        parts
            .iter()
            .map(|part| part.items_known)
            .collect::<Vec<_>>(),
        [40, 40, 40]
    );
    assert!(parts[0].title.starts_with("[0,1,2"), "{}", parts[0].title);
    worker.stop();
    d.worker(|worker| worker.handler(quick(&record)));
    d.finish(&name, JobState::Completed).await;
    let parts = list(root.name).await;
    assert_eq!(parts.len(), 3, "they are kept");
    assert!(
        parts
            .iter()
            .all(|part| part.state() == BatchState::Done && part.items_done == 40)
    );
}

async fn pipes_show_their_load(d: Deployment) {
    let name = d.create("waiting", range(50, 50).build()).await;
    let look = async || {
        let pipes: Vec<_> = d.client().pipes("default").try_collect().await.unwrap();
        assert_eq!(pipes.len(), 1, "{pipes:?}");
        pipes.into_iter().next()
    };
    until("all items to wait", PATIENCE, || async {
        look()
            .await
            .filter(|pipe| pipe.ready_message_count == 50 && pipe.items_in_flight == 50)
    })
    .await;
    let pipe = look().await.unwrap();
    assert_eq!(pipe.name, "partitions/default/pipes/work");
    assert!(pipe.reachable);
    assert_eq!((pipe.consumer_count, pipe.job_count), (0, 1));
    let record = Record::default();
    d.worker(|worker| worker.handler(slow(&record, Duration::from_millis(30))));
    until("somebody to consume it", PATIENCE, || async {
        look().await.filter(|pipe| pipe.consumer_count == 1)
    })
    .await;
    d.finish(&name, JobState::Completed).await;
    let pipe = look().await.unwrap();
    assert_eq!(
        (pipe.items_in_flight, pipe.job_count, pipe.items_per_second),
        (0, 0, 0.0)
    );
}
