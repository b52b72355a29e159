//! Every change by a caller stands in the audit log with who it was.

mod changes;

use std::collections::BTreeSet;

use headway::v1;
use headway_runtime::tasks;
use prost_reflect::DescriptorPool;
use tonic::{
    Code, Request, Status,
    metadata::{MetadataMap, MetadataValue},
    service::interceptor::InterceptedService,
    transport::Channel,
};

use self::changes::change;
use crate::harness::{Clients, Harness, PARENT, fields, refused, request, task};

type Named<F> = Clients<InterceptedService<Channel, F>>;

/// A client whose calls have a user.
fn client_of(
    harness: &Harness,
    user: &str,
) -> Named<impl FnMut(Request<()>) -> Result<Request<()>, Status> + Clone> {
    let user: MetadataValue<_> = user.parse().unwrap();
    let named = move |mut request: Request<()>| {
        request
            .metadata_mut()
            .insert("x-headway-user", user.clone());
        Ok(request)
    };
    clients!(InterceptedService::new(harness.channel.clone(), named))
}

/// The methods that change nothing.
const READS: [&str; 21] = [
    "CountJobs",
    "ExplainJob",
    "GetJob",
    "GetJobHistory",
    "GetJobType",
    "GetPartition",
    "GetPipeLimits",
    "GetSchedule",
    "ListBatches",
    "ListDeadLetters",
    "ListEvents",
    "ListFailures",
    "ListJobTypes",
    "ListJobs",
    "ListPipeLimits",
    "ListPipes",
    "ListSchedules",
    "ListSuspendedPartitions",
    "WatchEvents",
    "WatchJob",
    "WatchJobs",
];

async fn events(harness: &Harness, parent: &str) -> Vec<v1::AuditEvent> {
    let request = v1::ListEventsRequest {
        parent: parent.to_owned(),
        page_size: 1000,
        ..v1::ListEventsRequest::default()
    };
    let answer = harness
        .clients()
        .events
        .list_events(request)
        .await
        .unwrap()
        .into_inner();
    assert!(answer.next_page_token.is_empty());
    answer.events
}

#[tokio::test]
async fn every_method_that_changes_anything_leaves_an_event_with_its_caller() {
    let harness = Harness::start().await;
    let pool = DescriptorPool::decode(headway::FILE_DESCRIPTOR_SET).unwrap();
    let ours = pool
        .services()
        .filter(|service| service.package_name() == "headway.v1");
    let methods: BTreeSet<String> = ours
        .flat_map(|service| {
            service
                .methods()
                .map(|m| m.name().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(methods.len() >= 40, "{methods:?}");
    let mut changing = Vec::new();
    for method in &methods {
        if READS.contains(&method.as_str()) {
            continue;
        }
        let client = client_of(&harness, method);
        assert!(
            change(&harness, method, client).await,
            "say here whether {method} changes anything, and how"
        );
        changing.push(method);
    }
    let mut events_of_all = events(&harness, PARENT).await;
    events_of_all.extend(events(&harness, "deployment").await);
    for method in changing {
        let of = events_of_all
            .iter()
            .filter(|event| event.done_by == *method);
        let of: Vec<_> = of.collect();
        assert_eq!(of.len(), 1, "{method}: {of:?}");
        assert_ne!(of[0].job.is_empty(), of[0].subject.is_empty(), "{of:?}");
        assert!(of[0].kind > 0);
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_name_behind_the_body_is_not_listened_to() {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use prost::Message;
    let harness = Harness::start().await;
    let stream = tokio::net::TcpStream::connect(harness.address)
        .await
        .unwrap();
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tasks::spawn(connection);
    let message = request("one", task()).encode_to_vec();
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message);
    let trailers = http::HeaderMap::from_iter([(
        http::HeaderName::from_static("x-headway-user"),
        http::HeaderValue::from_static("eve"),
    )]);
    let body =
        Full::new(bytes::Bytes::from(frame)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let uri = format!("http://{}/headway.v1.JobService/CreateJob", harness.address);
    let request = http::Request::post(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-headway-user", "ada")
        .body(body)
        .unwrap();
    let answer = send.send_request(request).await.unwrap();
    answer.into_body().collect().await.unwrap();
    assert_eq!(harness.get("one").await.created_by, "ada");
    harness.stop().await;
}

#[tokio::test]
async fn names_are_recorded_as_they_are_or_refused() {
    let harness = Harness::start().await;
    let call = |id: &str, metadata: MetadataMap| {
        let message = request(id, task());
        let mut client = harness.client.clone();
        async move {
            let request = Request::from_parts(metadata, tonic::Extensions::new(), message);
            client.create_job(request).await
        }
    };
    let mut umlaut = MetadataMap::new();
    umlaut.insert_bin(
        "x-headway-user-bin",
        MetadataValue::from_bytes("Jürgen".as_bytes()),
    );
    let job = call("one", umlaut).await.unwrap().into_inner();
    assert_eq!(job.created_by, "Jürgen");
    let mut own = MetadataMap::new();
    own.insert("x-headway-user", "Headway".parse().unwrap());
    let (status, details) = refused(
        call("two", own).await,
        Code::InvalidArgument,
        "INVALID_FIELDS",
    );
    assert_eq!(fields(&details), ["x-headway-user"]);
    assert!(status.message().contains("Headway's own"), "{status:?}");
    // As a proxy or another language may send it: the bytes of UTF-8 in a plain header.
    let mut raw = http::HeaderMap::new();
    let value = http::HeaderValue::from_bytes("Zoë".as_bytes()).unwrap();
    raw.insert("x-headway-user", value);
    let job = call("three", MetadataMap::from_headers(raw)).await.unwrap();
    assert_eq!(job.into_inner().created_by, "Zoë");
    harness.stop().await;
}
