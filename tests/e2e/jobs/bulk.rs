//! Many jobs at once, changed by jobs of their own.

use headway::v1::{BatchCreateJobsEntry, ChangeJobsRequest, Job, JobAction, JobState, Partition};
use headway::wire;
use headway_broker::{Outgoing, Queue};
use headway_client::{Code, JobName};
use headway_tests::{
    Deployment, PATIENCE, Record, job_named, outcome_counts, range, request, until,
};

use prost::Message;
use serde_json::json;

use crate::handlers::quick;

on_both!(
    many_are_cancelled_by_a_filter,
    many_are_paused_and_resumed,
    many_are_retried_and_deleted,
    what_is_held_is_cancelled,
    a_request_that_comes_twice,
    one_id_and_then_another_request,
    a_message_of_another_job_changes_nothing,
    bad_changes,
);

/// A job of a call that creates many.
pub(super) fn entry(id: &str, spec: headway::v1::JobSpec) -> BatchCreateJobsEntry {
    BatchCreateJobsEntry {
        job_id: id.to_owned(),
        spec: Some(spec),
        ..BatchCreateJobsEntry::default()
    }
}

fn of(action: JobAction, filter: &str) -> ChangeJobsRequest {
    ChangeJobsRequest {
        parent: "partitions/default".to_owned(),
        action: action.into(),
        filter: filter.to_owned(),
        all: filter.is_empty(),
        ..ChangeJobsRequest::default()
    }
}

/// Jobs that do not start, some of them labelled.
async fn waiting(d: &Deployment, count: usize) -> Vec<JobName> {
    let entries = (0..count).map(|n| {
        let team = if n % 3 == 0 { "blue" } else { "red" };
        let spec = range(2, 2).after(job_named("never")).label("team", team);
        entry(&format!("j{n}"), spec.build())
    });
    let results = d.client().create_jobs("default", entries.collect()).await;
    let results = results.unwrap();
    assert_eq!(results.len(), count);
    let named = results
        .into_iter()
        .map(|result| result.expect("accepted").name);
    named.map(|name| name.parse().expect("a name")).collect()
}

/// The job that does it, once it is done.
async fn done(d: &Deployment, action: JobAction, filter: &str) -> (Job, i64) {
    let answer = d.client().change_jobs(of(action, filter)).await.unwrap();
    let job = answer.job.expect("it began");
    let name: JobName = job.name.parse().expect("a name");
    let ended = d.finish(&name, JobState::Completed).await;
    (ended, answer.matching_job_count)
}

async fn states(d: &Deployment, filter: &str) -> Vec<(JobState, i64)> {
    let counts = d.client().count_jobs_like("default", filter).await.unwrap();
    let counts = counts.into_iter();
    counts
        .map(|count| (count.state(), count.job_count))
        .collect()
}

async fn many_are_cancelled_by_a_filter(d: Deployment) {
    waiting(&d, 240).await;
    let asked = ChangeJobsRequest {
        validate_only: true,
        ..of(JobAction::Cancel, "labels.team = blue")
    };
    let asked = d.client().change_jobs(asked).await.unwrap();
    assert!(asked.job.is_none());
    assert_eq!(asked.matching_job_count, 80);
    assert_eq!(states(&d, "").await, [(JobState::Waiting, 240)]);
    let (job, matching) = done(&d, JobAction::Cancel, "labels.team = blue").await;
    assert_eq!((matching, outcome_counts(&job)), (80, [80, 80, 0, 0]));
    assert_eq!(
        states(&d, "labels.team = blue").await,
        [(JobState::Cancelled, 80)]
    );
    assert_eq!(
        states(&d, "labels.team = red").await,
        [(JobState::Waiting, 160)]
    );
    // Those that are over are not counted again.
    let (job, matching) = done(&d, JobAction::Cancel, "labels:team").await;
    assert_eq!((matching, outcome_counts(&job)[0]), (160, 160));
    let labels = job.spec.expect("a spec").labels;
    assert_eq!(labels["headway.bulk"], "cancel");
}

async fn many_are_paused_and_resumed(d: Deployment) {
    waiting(&d, 30).await;
    done(&d, JobAction::Pause, "id = j*").await;
    assert_eq!(states(&d, "id = j*").await, [(JobState::Paused, 30)]);
    done(&d, JobAction::Resume, "labels.team = red").await;
    assert_eq!(
        states(&d, "id = j*").await,
        [(JobState::Waiting, 20), (JobState::Paused, 10)]
    );
}

async fn many_are_retried_and_deleted(d: Deployment) {
    let names = waiting(&d, 40).await;
    done(&d, JobAction::Cancel, "id = j*").await;
    done(&d, JobAction::Retry, "id = (j1 OR j2)").await;
    assert_eq!(
        states(&d, "id = j*").await,
        [(JobState::Waiting, 2), (JobState::Cancelled, 38)]
    );
    // All of the partition, but for the job that does it.
    let (job, matching) = done(&d, JobAction::Delete, "").await;
    assert_eq!((matching, outcome_counts(&job)[1]), (42, 42));
    assert_eq!(states(&d, "").await, [(JobState::Completed, 1)]);
    let gone = d.client().get_job(&names[0]).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

/// Neither quotas nor a suspension are in the way of who makes room.
async fn what_is_held_is_cancelled(d: Deployment) {
    let client = d.client();
    waiting(&d, 30).await;
    let out = d.create("out", range(1, 1).build()).await;
    until("its item to be out", PATIENCE, || async {
        let progress = d.job(&out).await.progress?;
        (progress.items_in_flight == 1).then_some(())
    })
    .await;
    let partition = Partition {
        name: "partitions/default".to_owned(),
        max_open_jobs: 5,
        max_items_in_flight: 1,
        ..Partition::default()
    };
    let mask = &["max_open_jobs", "max_items_in_flight"];
    client.update_partition(partition, mask).await.unwrap();
    client.suspend_partition("default").await.unwrap();
    let refused = client.create_job(request("more", range(1, 1).build()));
    assert_eq!(refused.await.unwrap_err().code(), Code::ResourceExhausted);
    let (job, matching) = done(&d, JobAction::Cancel, "").await;
    assert_eq!((matching, outcome_counts(&job)), (31, [31, 31, 0, 0]));
    assert!(!job.suspended);
    let states = states(&d, "NOT labels:headway.bulk").await;
    assert_eq!(states, [(JobState::Cancelled, 31)]);
    // The partition follows its setting: nothing is left to be suspended.
    let walked = d.store().partitions().to_walk().await.unwrap();
    assert!(walked.is_empty(), "{walked:?}");
    client.resume_partition("default").await.unwrap();
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    d.finish(&out, JobState::Cancelled).await;
}

async fn a_request_that_comes_twice(d: Deployment) {
    waiting(&d, 5).await;
    let asked = |action, filter: &str| ChangeJobsRequest {
        job_id: "sweep".to_owned(),
        ..of(action, filter)
    };
    let client = d.client();
    let first = client
        .change_jobs(asked(JobAction::Pause, "id = j*"))
        .await
        .unwrap();
    let second = client
        .change_jobs(asked(JobAction::Pause, "id = j*"))
        .await
        .unwrap();
    let uid = |answer: headway::v1::ChangeJobsResponse| answer.job.expect("a job").uid;
    assert_eq!(uid(first), uid(second));
    for (action, filter) in [
        (JobAction::Cancel, "id = j*"),
        (JobAction::Pause, "id = j1"),
    ] {
        let error = client.change_jobs(asked(action, filter)).await.unwrap_err();
        assert_eq!(error.code(), Code::AlreadyExists, "{error}");
    }
    d.finish(&headway_tests::name("sweep"), JobState::Completed)
        .await;
}

/// What the job of an id asked for is nothing to the next job of that id.
async fn one_id_and_then_another_request(d: Deployment) {
    waiting(&d, 5).await;
    let sweep = headway_tests::name("sweep");
    for (action, state) in [
        (JobAction::Pause, JobState::Paused),
        (JobAction::Resume, JobState::Waiting),
        (JobAction::Cancel, JobState::Cancelled),
    ] {
        let asked = ChangeJobsRequest {
            job_id: "sweep".to_owned(),
            ..of(action, "id = j*")
        };
        d.client().change_jobs(asked).await.unwrap();
        d.finish(&sweep, JobState::Completed).await;
        assert_eq!(states(&d, "id = j*").await, [(state, 5)]);
        d.client().delete_job(&sweep).await.unwrap();
    }
}

/// Whoever can publish to the pipe of changes can write any message. What is done, and for whom,
/// stands in the row of the job.
async fn a_message_of_another_job_changes_nothing(d: Deployment) {
    let victim = waiting(&d, 1).await.remove(0);
    // Nobody works on its pipe, so its item is still to be done.
    let forged = d.create("forged", range(1, 1).build()).await;
    let uid = d.uid(&forged).await;
    let meta = d.store().job(&forged.to_string().parse().unwrap()).await;
    let message = wire::TaskMessage {
        job_uid: uid.0.as_bytes().to_vec().into(),
        job: forged.to_string(),
        page: 1,
        shard: meta.unwrap().job.meta.shard.into(),
        r#type: "cancel".to_owned(),
        content_type: "application/json".to_owned(),
        headers: [("action", "cancel"), ("user", "eve")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        items: vec![wire::TaskItem {
            payload: serde_json::to_vec(&json!(victim.job())).unwrap().into(),
            ..wire::TaskItem::default()
        }],
        ..wire::TaskMessage::default()
    };
    d.watch_until(&forged, "its item is out", |job| {
        job.progress.unwrap_or_default().items_in_flight == 1
    })
    .await;
    let message = Outgoing {
        queue: Queue::Pipe("headway.jobs".to_owned()),
        body: message.encode_to_vec().into(),
    };
    assert_eq!(d.broker().publish(vec![message]).await, [Ok(())]);
    d.finish(&forged, JobState::Failed).await;
    assert_eq!(d.failures(&forged).await[0].code, "BAD_TASK");
    assert_eq!(d.job(&victim).await.state(), JobState::Waiting);
    // Its own message is for nobody now.
    let work = Queue::Pipe(headway_tests::WORK.to_owned());
    d.broker().purge(&work).await.unwrap();
}

async fn bad_changes(d: Deployment) {
    let cases = [
        (of(JobAction::Delete, "state = BUSY"), "filter"),
        (
            ChangeJobsRequest {
                all: false,
                ..of(JobAction::Delete, "")
            },
            "filter",
        ),
        (
            ChangeJobsRequest {
                all: true,
                ..of(JobAction::Delete, "id = a")
            },
            "filter",
        ),
        (
            ChangeJobsRequest {
                parent: "x".to_owned(),
                ..of(JobAction::Delete, "id = a")
            },
            "parent",
        ),
        (
            ChangeJobsRequest {
                job_id: "a/b".to_owned(),
                ..of(JobAction::Delete, "id = a")
            },
            "job_id",
        ),
    ];
    for (request, field) in cases {
        let error = d.client().change_jobs(request).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        assert_eq!(error.field_violations()[0].field, field, "{error}");
    }
    // What Headway has for itself is not for clients.
    let own = headway_client::BatchBuilder::new("headway.jobs").item("headway.jobs", "cancel");
    let own = own.json(&serde_json::json!({}));
    let spec = headway_client::JobBuilder::new(own).build();
    let error = d
        .client()
        .create_job(request("own", spec))
        .await
        .unwrap_err();
    let fields: Vec<_> = error
        .field_violations()
        .iter()
        .map(|one| one.field.as_str())
        .collect();
    assert_eq!(
        fields,
        ["spec.batch.splitter", "spec.batch.item.pipe"],
        "{error}"
    );
}
