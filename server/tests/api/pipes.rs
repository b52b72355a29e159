//! The pipes of a partition, from a client's side.

use headway::v1;
use tonic::Code;

use crate::harness::{Harness, PARENT, refused, task};

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
