//! Clients that ask for all that they can get.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use headway::v1::{GetJobRequest, Job, Partition, job_service_client::JobServiceClient};
use headway_client::{JobBuilder, TaskBuilder, create_request};
use headway_tests::{Deployment, PATIENCE, SECOND, until};
use serde_json::json;
use tokio::task::JoinSet;
use tonic::{
    Code, Request,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::measure::Measured;

on_both!(
    beside_calls_without_a_body,
    beside_a_client_that_creates_without_a_pause,
);

/// Another address of this machine: a server gives each address a share of its calls.
const FLOOD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const CONNECTIONS: usize = 200;
/// Calls of each connection; together twice as many as a server takes in all.
const CALLS: usize = 10;
/// How long a call waits after a refusal. All of them together would otherwise take so much of this
/// machine's two processors that a rate beside them tells nothing of the server.
const PAUSE: Duration = Duration::from_secs(5);
/// Clients that create one job after the other. More of them take their share of this machine's two
/// processors, which no limit of Headway gives back.
const CREATORS: usize = 2;
/// Jobs that their partition may have open.
const QUOTA: i32 = 50;

async fn connect(d: &Deployment) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", d.address())).unwrap();
    endpoint.local_address(Some(FLOOD)).connect().await.unwrap()
}

/// Makes a call whose body never comes, again and again.
async fn hang(channel: Channel, refused: Arc<AtomicU64>) {
    let path = PathAndQuery::from_static("/headway.v1.JobService/GetJob");
    loop {
        let mut grpc = Grpc::new(channel.clone());
        grpc.ready().await.unwrap();
        let body = Request::new(tokio_stream::pending::<GetJobRequest>());
        let codec = ProstCodec::<GetJobRequest, Job>::default();
        let answer = grpc.client_streaming(body, path.clone(), codec).await;
        let code = answer.unwrap_err().code();
        // It has its share of all calls, or was silent for too long.
        let refusal = matches!(code, Code::Unavailable | Code::DeadlineExceeded);
        assert!(refusal, "{code:?}");
        refused.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn beside_calls_without_a_body(d: Deployment) {
    let mut measured = Measured::with_worker(&d).await;
    let refused = Arc::new(AtomicU64::new(0));
    let mut flood = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let channel = connect(&d).await;
        for _ in 0..CALLS {
            flood.spawn(hang(channel.clone(), refused.clone()));
        }
    }
    until("calls to be refused", PATIENCE, || async {
        (refused.load(Ordering::Relaxed) > 1000).then_some(())
    })
    .await;
    measured.beside(&d).await;
    assert!(flood.try_join_next().is_none(), "a call failed otherwise");
    flood.shutdown().await;
    measured.judge(&d).await;
}

/// Creates jobs until there are as many as may be open, and goes on.
async fn create(channel: Channel, refused: Arc<AtomicU64>) {
    let mut client = JobServiceClient::new(channel);
    loop {
        let task = TaskBuilder::new(SECOND, "number").json(&json!(1));
        let request = create_request("flood", JobBuilder::new(task).build());
        if let Err(error) = client.create_job(request).await {
            assert_eq!(error.code(), Code::ResourceExhausted, "{error}");
            refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn beside_a_client_that_creates_without_a_pause(d: Deployment) {
    let partition = Partition {
        name: "partitions/flood".to_owned(),
        max_open_jobs: QUOTA,
        ..Partition::default()
    };
    let update = d.client().update_partition(partition, &["max_open_jobs"]);
    update.await.unwrap();
    let mut measured = Measured::with_worker(&d).await;
    let refused = Arc::new(AtomicU64::new(0));
    let mut flood = JoinSet::new();

    for _ in 0..CREATORS {
        flood.spawn(create(connect(&d).await, refused.clone()));
    }
    until("jobs to be refused", PATIENCE, || async {
        (refused.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;
    measured.beside(&d).await;
    assert!(flood.try_join_next().is_none(), "a call failed otherwise");
    eprintln!("{} refused", refused.load(Ordering::Relaxed));
    flood.shutdown().await;
    let second = headway_broker::Queue::Pipe(SECOND.to_owned());
    d.broker().purge(&second).await.unwrap();
    measured.judge(&d).await;
}
