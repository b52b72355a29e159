//! Health, reflection and shutdown.

use std::time::Duration;

use headway::v1;
use headway_runtime::tasks;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::harness::{Harness, PARENT, PATIENCE};

const SERVICE: &str = "headway.v1.JobService";

#[tokio::test]
async fn health_follows_readiness_for_each_service() {
    let harness = Harness::start().await;
    let mut client = HealthClient::new(harness.channel.clone());
    for service in ["", SERVICE] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let checked = client.check(request.clone()).await.unwrap();
        assert_eq!(
            checked.get_ref().status(),
            ServingStatus::NotServing,
            "at first"
        );
        let mut states = client.watch(request).await.unwrap().into_inner();
        for (ready, expected) in [
            (true, ServingStatus::Serving),
            (false, ServingStatus::NotServing),
        ] {
            harness.database.set(ready);
            let reached =
                async { while states.next().await.unwrap().unwrap().status() != expected {} };
            timeout(PATIENCE, reached).await.unwrap();
        }
    }
    let request = HealthCheckRequest {
        service: "nothing".into(),
    };
    assert_eq!(
        client.check(request).await.unwrap_err().code(),
        Code::NotFound
    );
    harness.stop().await;
}

#[tokio::test]
async fn an_open_health_watch_does_not_hold_up_the_shutdown() {
    let harness = Harness::start().await;
    let mut client = HealthClient::new(harness.channel.clone());
    let request = HealthCheckRequest {
        service: SERVICE.into(),
    };
    let mut states = client.watch(request).await.unwrap().into_inner();
    states.next().await.unwrap().unwrap();
    harness.shutdown.cancel();
    timeout(Duration::from_secs(5), harness.server)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn reflection_answers_in_both_versions() {
    use tonic_reflection::pb::{v1, v1alpha};
    let harness = Harness::start().await;
    let channel = harness.channel.clone();

    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let ask = |message| v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    };
    use v1::server_reflection_request::MessageRequest as Ask;
    use v1::server_reflection_response::MessageResponse as Answer;
    let questions = [
        ask(Ask::ListServices(String::new())),
        ask(Ask::FileContainingSymbol(SERVICE.into())),
        ask(Ask::FileContainingSymbol(
            "google.protobuf.Timestamp".into(),
        )),
    ];
    let answers = client
        .server_reflection_info(tokio_stream::iter(questions))
        .await
        .unwrap();
    let answers: Vec<_> = answers
        .into_inner()
        .collect::<Result<_, _>>()
        .await
        .unwrap();
    let Some(Answer::ListServicesResponse(list)) = &answers[0].message_response else {
        panic!("{answers:?}")
    };
    let names: Vec<_> = list
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for name in [
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    for answer in &answers[1..] {
        let found = matches!(
            answer.message_response,
            Some(Answer::FileDescriptorResponse(_))
        );
        assert!(found, "{answer:?}");
    }

    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let question = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                SERVICE.into(),
            ),
        ),
    };
    let answers = client
        .server_reflection_info(tokio_stream::iter([question]))
        .await
        .unwrap();
    let answer = answers.into_inner().next().await.unwrap().unwrap();
    use v1alpha::server_reflection_response::MessageResponse as AlphaAnswer;
    assert!(matches!(
        answer.message_response,
        Some(AlphaAnswer::FileDescriptorResponse(_))
    ));
    harness.stop().await;
}

#[tokio::test]
async fn a_connection_too_many_waits_for_a_place() {
    let harness = Harness::start_with(|mut parts| {
        parts.limits.connections = 2;
        parts
    })
    .await;
    // The harness has one of them.
    let second = harness.connect().await;
    let request = || v1::CountJobsRequest {
        parent: PARENT.to_owned(),
        ..v1::CountJobsRequest::default()
    };
    second.clone().count_jobs(request()).await.unwrap();
    let third = harness.connect_lazily();
    let waiting = tasks::spawn(async move { third.clone().count_jobs(request()).await });
    // Those that have a place are served meanwhile.
    second.clone().count_jobs(request()).await.unwrap();
    assert!(!waiting.is_finished());
    drop(second);
    timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap();
    harness.stop().await;
}
