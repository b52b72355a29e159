//! The calls about partitions.

use headway::v1::{
    GetPartitionRequest, ListSuspendedPartitionsRequest, ListSuspendedPartitionsResponse,
    Partition, ResumePartitionRequest, SuspendPartitionRequest, UpdatePartitionRequest,
    partition_service_server::PartitionService,
};
use tonic::{Request, Response, Status};

use crate::fake::Fake;

#[tonic::async_trait]
impl PartitionService for Fake {
    async fn get_partition(
        &self,
        request: Request<GetPartitionRequest>,
    ) -> Result<Response<Partition>, Status> {
        self.partition("partition", request.into_inner().name, false)
    }

    async fn update_partition(
        &self,
        request: Request<UpdatePartitionRequest>,
    ) -> Result<Response<Partition>, Status> {
        let partition = request.into_inner().partition.unwrap_or_default();
        Ok(Response::new(partition))
    }

    async fn suspend_partition(
        &self,
        request: Request<SuspendPartitionRequest>,
    ) -> Result<Response<Partition>, Status> {
        self.partition("suspend", request.into_inner().name, true)
    }

    async fn resume_partition(
        &self,
        request: Request<ResumePartitionRequest>,
    ) -> Result<Response<Partition>, Status> {
        self.partition("resume", request.into_inner().name, false)
    }

    async fn list_suspended_partitions(
        &self,
        _request: Request<ListSuspendedPartitionsRequest>,
    ) -> Result<Response<ListSuspendedPartitionsResponse>, Status> {
        Ok(Response::new(ListSuspendedPartitionsResponse::default()))
    }
}
