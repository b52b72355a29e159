//! The pipes of a partition, from a client's side.

use headway::v1;
use headway_domain::{PipeName, events::Caller, pipes::PipeLimits};
use tonic::Code;

use crate::harness::{Harness, PARENT, mask, refused, task};

#[tokio::test]
async fn pipes_are_those_of_the_partition() {
    let harness = Harness::start().await;
    for pipe in ["b", "a", "c"] {
        let mut spec = task();
        if let Some(v1::job_spec::Work::Task(task)) = &mut spec.work {
            task.pipe = pipe.to_owned();
        }
        harness.create_spec(pipe, spec).await;
    }
    let ask = |parent: &str, page_size, page_token: &str| {
        let mut client = harness.clients().pipes;
        let request = v1::ListPipesRequest {
            parent: parent.to_owned(),
            page_size,
            page_token: page_token.to_owned(),
        };
        async move { client.list_pipes(request).await }
    };
    let first = ask(PARENT, 2, "").await.unwrap().into_inner();
    let rest = ask(PARENT, 2, &first.next_page_token)
        .await
        .unwrap()
        .into_inner();
    let pipes: Vec<_> = first.pipes.iter().chain(&rest.pipes).collect();
    let names: Vec<_> = pipes.iter().map(|pipe| pipe.name.clone()).collect();
    assert_eq!(
        names,
        ["a", "b", "c"].map(|pipe| format!("{PARENT}/pipes/{pipe}"))
    );
    assert_eq!(rest.next_page_token, "");
    for pipe in pipes {
        assert!(pipe.reachable);
        assert_eq!(
            (pipe.items_in_flight, pipe.job_count, pipe.consumer_count),
            (1, 1, 0)
        );
    }
    let none = ask("partitions/other", 0, "").await.unwrap().into_inner();
    assert_eq!(none, v1::ListPipesResponse::default());
    let bad = ask(PARENT, 101, "").await;
    refused(bad, Code::InvalidArgument, "INVALID_FIELDS");
    refused(
        ask("partitions/other", 2, &first.next_page_token).await,
        Code::InvalidArgument,
        "PAGE_TOKEN_INVALID",
    );
    harness.stop().await;
}

/// An earlier version took pipes of dots only: what it stored of them can be seen and lifted.
#[tokio::test]
async fn limits_of_an_older_pipe_can_be_lifted() {
    let harness = Harness::start().await;
    let pipe = PipeName::try_from("..".to_owned()).unwrap();
    let limits = PipeLimits {
        in_flight: Some(5),
        ..PipeLimits::default()
    };
    let pipes = harness.store().pipes();
    pipes
        .set_limits(&pipe, &limits, None, &Caller::default())
        .await
        .unwrap();
    let mut client = harness.clients().pipes;
    let get = v1::GetPipeLimitsRequest {
        name: "pipes/../limits".to_owned(),
    };
    let found = client.get_pipe_limits(get.clone()).await.unwrap();
    assert_eq!(found.get_ref().max_in_flight, 5);
    let lift = v1::UpdatePipeLimitsRequest {
        pipe_limits: Some(v1::PipeLimits {
            name: get.name,
            etag: found.get_ref().etag.clone(),
            ..v1::PipeLimits::default()
        }),
        update_mask: mask(&["max_in_flight"]),
        ..v1::UpdatePipeLimitsRequest::default()
    };
    client.update_pipe_limits(lift).await.unwrap();
    assert!(pipes.all_limits().await.unwrap().is_empty());
    let drop = v1::DropDeadLettersRequest {
        parent: format!("{PARENT}/pipes/.."),
        ..v1::DropDeadLettersRequest::default()
    };
    let dropped = client.drop_dead_letters(drop).await.unwrap();
    assert_eq!(dropped.get_ref().dropped_count, 0);
    harness.stop().await;
}
