//! The calls about job types.

use headway::v1::{
    CreateJobTypeRequest, DeleteJobTypeRequest, GetJobTypeRequest, JobType, ListJobTypesRequest,
    ListJobTypesResponse, UpdateJobTypeRequest, job_type_service_server::JobTypeService,
};
use tonic::{Request, Response, Status};

use crate::fake::Fake;

#[tonic::async_trait]
impl JobTypeService for Fake {
    async fn create_job_type(
        &self,
        request: Request<CreateJobTypeRequest>,
    ) -> Result<Response<JobType>, Status> {
        Ok(Response::new(
            request.into_inner().job_type.unwrap_or_default(),
        ))
    }

    async fn update_job_type(
        &self,
        request: Request<UpdateJobTypeRequest>,
    ) -> Result<Response<JobType>, Status> {
        Ok(Response::new(
            request.into_inner().job_type.unwrap_or_default(),
        ))
    }

    async fn get_job_type(
        &self,
        request: Request<GetJobTypeRequest>,
    ) -> Result<Response<JobType>, Status> {
        let name = request.into_inner().name;
        Ok(Response::new(JobType {
            name,
            ..JobType::default()
        }))
    }

    async fn list_job_types(
        &self,
        _request: Request<ListJobTypesRequest>,
    ) -> Result<Response<ListJobTypesResponse>, Status> {
        Ok(Response::new(ListJobTypesResponse::default()))
    }

    async fn delete_job_type(
        &self,
        _request: Request<DeleteJobTypeRequest>,
    ) -> Result<Response<()>, Status> {
        Ok(Response::new(()))
    }
}
