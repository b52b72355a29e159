//! PipeService: pipes, their limits, and their dead letters.

mod dead_letters;
mod limits;

use futures::{StreamExt, stream};
use headway::v1::{self, pipe_service_server::PipeService};
use headway_broker::{Broker, Depth, Queue};
use headway_domain::PartitionId;
use headway_store::{PipeLimitView, PipeView};
use tonic::Request;

use super::{
    api::{Answer, Api, answer, now, received},
    request,
    status::ApiError,
    tokens::Query,
    values::int,
    violations::Violations,
};

/// Pipes per page at most: the broker is asked about each.
const PAGE: u32 = 100;
/// Pipes that the broker is asked about at once.
const LOOKS: usize = 8;

#[tonic::async_trait]
impl PipeService for Api {
    async fn list_pipes(
        &self,
        request: Request<v1::ListPipesRequest>,
    ) -> Answer<v1::ListPipesResponse> {
        answer(self.list_pipes(request.into_inner()).await)
    }

    async fn get_pipe_limits(
        &self,
        request: Request<v1::GetPipeLimitsRequest>,
    ) -> Answer<v1::PipeLimits> {
        answer(self.get_pipe_limits(request.into_inner()).await)
    }

    async fn update_pipe_limits(
        &self,
        request: Request<v1::UpdatePipeLimitsRequest>,
    ) -> Answer<v1::PipeLimits> {
        let (request, caller) = received(request);
        answer(self.update_pipe_limits(request, caller).await)
    }

    async fn list_pipe_limits(
        &self,
        request: Request<v1::ListPipeLimitsRequest>,
    ) -> Answer<v1::ListPipeLimitsResponse> {
        answer(self.list_pipe_limits(request.into_inner()).await)
    }

    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Answer<v1::ListDeadLettersResponse> {
        answer(self.list_dead_letters(request.into_inner()).await)
    }

    async fn drop_dead_letters(
        &self,
        request: Request<v1::DropDeadLettersRequest>,
    ) -> Answer<v1::DropDeadLettersResponse> {
        let (request, caller) = received(request);
        answer(self.drop_dead_letters(request, caller).await)
    }
}

impl Api {
    pub(crate) async fn list_pipes(
        &self,
        request: v1::ListPipesRequest,
    ) -> Result<v1::ListPipesResponse, ApiError> {
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
        let size = violations.take(request::page_size_up_to(PAGE, request.page_size));
        let (partition, size) = violations.values((partition, size))?;
        let query = Query::new("pipes").with(partition.as_str());
        let above = query.text(&request.page_token, now())?;
        let above = above.unwrap_or_default();
        let page = self.store().pipes().list(&partition, &above, size).await?;
        let broker = self.broker();
        let names: Vec<_> = page.pipes.iter().map(|view| view.pipe.clone()).collect();
        let depths: Vec<_> = stream::iter(names)
            .map(|pipe| depth(broker, pipe))
            .buffered(LOOKS)
            .collect()
            .await;
        let limits = self.store().pipes().all_limits().await?;
        let pipes = page.pipes.iter().zip(depths);
        let pipes = pipes
            .map(|(view, depth)| {
                let limits = limits.iter().find(|of| of.pipe.as_str() == view.pipe);
                wire(&partition, view, depth, limits)
            })
            .collect();
        let next_page_token = page.next.map(|name| query.text_token(&name, now()));
        Ok(v1::ListPipesResponse {
            pipes,
            next_page_token: next_page_token.unwrap_or_default(),
        })
    }
}

/// How full a pipe is, if the broker answers.
async fn depth(broker: &dyn Broker, pipe: String) -> Option<Depth> {
    let depth = broker.depth(&Queue::Pipe(pipe.clone())).await;
    depth
        .inspect_err(|error| tracing::debug!(%error, pipe, "cannot read the depth of a pipe; the answer leaves it out"))
        .ok()
}

/// A pipe, how full it is if the broker answered, and its limits.
fn wire(
    partition: &PartitionId,
    view: &PipeView,
    depth: Option<headway_broker::Depth>,
    limits: Option<&PipeLimitView>,
) -> v1::Pipe {
    let known = depth.unwrap_or_default();
    v1::Pipe {
        name: format!("partitions/{partition}/pipes/{}", view.pipe),
        ready_message_count: int(known.ready),
        consumer_count: int(known.consumers),
        // The rate of a pipe at rest is remembered for a while, to judge what it will drain.
        items_per_second: if view.in_flight > 0 || known.ready > 0 {
            view.rate
        } else {
            0.0
        },
        items_in_flight: int(view.in_flight),
        items_parked: int(view.parked),
        items_delayed: int(view.delayed),
        job_count: int(view.jobs),
        dead_letter_count: int(view.dead_letters),
        reachable: depth.is_some(),
        limits: limits.map(limits::wire),
    }
}
