//! Lists of the deployment by pages, and what results and reflection tell of errors.

use headway::v1;
use prost::Message;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::pb::{BadRequest, ErrorInfo};

use crate::harness::{Clients, Harness, PARENT, mask, refused};

#[tokio::test]
async fn limits_and_suspended_partitions_come_by_pages() {
    let harness = Harness::start().await;
    let Clients {
        mut pipes,
        mut partitions,
        ..
    } = harness.clients();
    for name in ["b", "a", "c"] {
        let limits = Some(v1::PipeLimits {
            name: format!("pipes/{name}/limits"),
            max_in_flight: 1,
            ..v1::PipeLimits::default()
        });
        let request = v1::UpdatePipeLimitsRequest {
            pipe_limits: limits,
            update_mask: mask(&["max_in_flight"]),
            ..v1::UpdatePipeLimitsRequest::default()
        };
        pipes.update_pipe_limits(request).await.unwrap();
        let name = format!("partitions/{name}");
        partitions
            .suspend_partition(v1::SuspendPartitionRequest { name })
            .await
            .unwrap();
    }
    let page = |page_token: String| v1::ListPipeLimitsRequest {
        page_size: 2,
        page_token,
    };
    let first = pipes
        .list_pipe_limits(page(String::new()))
        .await
        .unwrap()
        .into_inner();
    let second = pipes
        .list_pipe_limits(page(first.next_page_token.clone()))
        .await;
    let second = second.unwrap().into_inner();
    let names = first
        .pipe_limits
        .iter()
        .chain(&second.pipe_limits)
        .map(|limits| limits.name.as_str());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["pipes/a/limits", "pipes/b/limits", "pipes/c/limits"]
    );
    assert_eq!(
        (first.pipe_limits.len(), second.next_page_token.as_str()),
        (2, "")
    );

    let page = |page_token: String| v1::ListSuspendedPartitionsRequest {
        page_size: 2,
        page_token,
    };
    let begin = partitions
        .list_suspended_partitions(page(String::new()))
        .await
        .unwrap()
        .into_inner();
    let rest = partitions
        .list_suspended_partitions(page(begin.next_page_token.clone()))
        .await;
    let rest = rest.unwrap().into_inner();
    let names = begin
        .partitions
        .iter()
        .chain(&rest.partitions)
        .map(|of| of.name.as_str());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["partitions/a", "partitions/b", "partitions/c"]
    );
    assert_eq!(
        (begin.partitions.len(), rest.next_page_token.as_str()),
        (2, "")
    );
    // A token of the one list is none of the other.
    let foreign = partitions
        .list_suspended_partitions(page(first.next_page_token))
        .await;
    refused(foreign, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    harness.stop().await;
}

#[tokio::test]
async fn a_refused_job_of_many_has_the_details_of_its_error() {
    let harness = Harness::start().await;
    let request = v1::BatchCreateJobsRequest {
        parent: PARENT.to_owned(),
        jobs: vec![v1::BatchCreateJobsEntry::default()],
        ..v1::BatchCreateJobsRequest::default()
    };
    let answer = harness
        .client
        .clone()
        .batch_create_jobs(request)
        .await
        .unwrap();
    let result = &answer.get_ref().results[0];
    let Some(v1::batch_create_jobs_result::Result::Error(status)) = &result.result else {
        panic!("{result:?}")
    };
    assert_eq!(status.code, 3);
    let detail = |name: &str| {
        let mut details = status.details.iter();
        let found = details.find(|any| any.type_url.ends_with(name));
        found
            .unwrap_or_else(|| panic!("{name} in {result:?}"))
            .value
            .clone()
    };
    let info = ErrorInfo::decode(&*detail("google.rpc.ErrorInfo")).unwrap();
    assert_eq!(info.reason, "INVALID_FIELDS");
    let bad = BadRequest::decode(&*detail("google.rpc.BadRequest")).unwrap();
    assert_eq!(bad.field_violations[0].field, "spec");
    harness.stop().await;
}

#[tokio::test]
async fn reflection_knows_the_details_of_errors() {
    let harness = Harness::start().await;
    let mut client = ServerReflectionClient::new(harness.channel.clone());
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(
            "google.rpc.ErrorInfo".to_owned(),
        )),
    };
    let answers = client
        .server_reflection_info(tokio_stream::iter([ask]))
        .await;
    let answer = answers.unwrap().into_inner().next().await.unwrap().unwrap();
    let found = matches!(
        answer.message_response,
        Some(MessageResponse::FileDescriptorResponse(_))
    );
    assert!(found, "{answer:?}");
    harness.stop().await;
}
