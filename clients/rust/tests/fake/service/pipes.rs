//! The calls about pipes.

use std::time::Instant;

use headway::v1::{
    DropDeadLettersRequest, DropDeadLettersResponse, GetPipeLimitsRequest, ListDeadLettersRequest,
    ListDeadLettersResponse, ListPipeLimitsRequest, ListPipeLimitsResponse, ListPipesRequest,
    ListPipesResponse, PipeLimits, UpdatePipeLimitsRequest, pipe_service_server::PipeService,
};
use tonic::{Request, Response, Status};

use crate::fake::Fake;

#[tonic::async_trait]
impl PipeService for Fake {
    async fn list_dead_letters(
        &self,
        _request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        Ok(Response::new(ListDeadLettersResponse::default()))
    }

    async fn drop_dead_letters(
        &self,
        _request: Request<DropDeadLettersRequest>,
    ) -> Result<Response<DropDeadLettersResponse>, Status> {
        Ok(Response::new(DropDeadLettersResponse::default()))
    }

    async fn get_pipe_limits(
        &self,
        request: Request<GetPipeLimitsRequest>,
    ) -> Result<Response<PipeLimits>, Status> {
        Ok(Response::new(PipeLimits {
            name: request.into_inner().name,
            ..PipeLimits::default()
        }))
    }

    async fn update_pipe_limits(
        &self,
        request: Request<UpdatePipeLimitsRequest>,
    ) -> Result<Response<PipeLimits>, Status> {
        let limits = request.into_inner().pipe_limits.unwrap_or_default();
        Ok(Response::new(limits))
    }

    async fn list_pipe_limits(
        &self,
        _request: Request<ListPipeLimitsRequest>,
    ) -> Result<Response<ListPipeLimitsResponse>, Status> {
        Ok(Response::new(ListPipeLimitsResponse::default()))
    }

    async fn list_pipes(
        &self,
        request: Request<ListPipesRequest>,
    ) -> Result<Response<ListPipesResponse>, Status> {
        let mut script = self.script();
        let token = request.into_inner().page_token;
        script.calls.push(("pipes", token, Instant::now()));
        let page = script.pipe_pages.pop_front();
        Ok(Response::new(page.unwrap_or_default()))
    }
}
