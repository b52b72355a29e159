//! The tree of batches of a job, from a client's side.

use headway::v1::{self, BatchState};
use tonic::Code;

use crate::harness::{Harness, batch, fields, name, refused, task};

#[tokio::test]
async fn batches_sum_up_what_is_below_them() {
    let harness = Harness::start().await;
    let job = harness.create_spec("j", batch()).await;
    harness.split(&job, 5).await;
    drop(harness.report(&job, vec![0, 1], &[2]).await);
    let ask_of = |parent: String, parent_batch: String| {
        let mut client = harness.client.clone();
        let request = v1::ListBatchesRequest {
            parent,
            parent_batch,
            ..v1::ListBatchesRequest::default()
        };
        async move { client.list_batches(request).await }
    };
    let ask = |parent_batch: String| ask_of(name("j"), parent_batch);
    let root = ask(String::new()).await.unwrap().into_inner().batches;
    assert_eq!(root.len(), 1);
    let root = &root[0];
    assert_eq!(root.name, format!("{}/batches/1", name("j")));
    assert_eq!(
        (root.items_known, root.items_done, root.items_failed),
        (5, 2, 1)
    );
    assert_eq!(root.state(), BatchState::Active);
    assert_eq!(root.title, "0..5");
    assert!(root.total_final);
    let below = ask(root.name.clone()).await.unwrap().into_inner();
    assert_eq!(below, v1::ListBatchesResponse::default());
    let unknown = ask(format!("{}/batches/77", name("j"))).await;
    refused(unknown, Code::NotFound, "BATCH_NOT_FOUND");
    let nobody = ask_of(name("nobody"), String::new()).await;
    refused(nobody, Code::NotFound, "JOB_NOT_FOUND");
    for bad in [
        format!("{}/batches/x", name("j")),
        format!("{}/batches/1", name("other")),
        name("j"),
    ] {
        let (_, details) = refused(ask(bad).await, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(fields(&details), ["parent_batch"]);
    }
    let bad = ask_of(root.name.clone(), String::new()).await;
    let (_, details) = refused(bad, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&details), ["parent"]);
    harness.stop().await;
}

#[tokio::test]
async fn a_task_without_a_payload_has_a_batch_without_a_title() {
    let harness = Harness::start().await;
    let mut spec = task();
    if let Some(v1::job_spec::Work::Task(task)) = &mut spec.work {
        task.payload.clear();
    }
    harness.create_spec("empty", spec).await;
    let request = v1::ListBatchesRequest {
        parent: name("empty"),
        ..v1::ListBatchesRequest::default()
    };
    let answer = harness.client.clone().list_batches(request).await;
    let batches = answer.unwrap().into_inner().batches;
    assert_eq!(batches.len(), 1);
    assert_eq!((batches[0].title.as_str(), batches[0].items_known), ("", 1));
    harness.stop().await;
}
