//! The calls about schedules.

use headway::v1::{
    CreateScheduleRequest, DeleteScheduleRequest, GetScheduleRequest, Job, ListSchedulesRequest,
    ListSchedulesResponse, PauseScheduleRequest, ResumeScheduleRequest, RunScheduleRequest,
    Schedule, UpdateScheduleRequest, schedule_service_server::ScheduleService,
};
use tonic::{Request, Response, Status};

use crate::fake::Fake;

#[tonic::async_trait]
impl ScheduleService for Fake {
    async fn create_schedule(
        &self,
        request: Request<CreateScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let request = request.into_inner();
        let name = format!("{}/schedules/{}", request.parent, request.schedule_id);
        Ok(Response::new(Schedule {
            name,
            ..request.schedule.unwrap_or_default()
        }))
    }

    async fn update_schedule(
        &self,
        request: Request<UpdateScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let schedule = request.into_inner().schedule;
        Ok(Response::new(schedule.unwrap_or_default()))
    }

    async fn get_schedule(
        &self,
        request: Request<GetScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let name = request.into_inner().name;
        Ok(Response::new(Schedule {
            name,
            ..Schedule::default()
        }))
    }

    async fn list_schedules(
        &self,
        _request: Request<ListSchedulesRequest>,
    ) -> Result<Response<ListSchedulesResponse>, Status> {
        Ok(Response::new(ListSchedulesResponse::default()))
    }

    async fn pause_schedule(
        &self,
        request: Request<PauseScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let name = request.into_inner().name;
        Ok(Response::new(Schedule {
            name,
            paused: true,
            ..Schedule::default()
        }))
    }

    async fn resume_schedule(
        &self,
        request: Request<ResumeScheduleRequest>,
    ) -> Result<Response<Schedule>, Status> {
        let name = request.into_inner().name;
        Ok(Response::new(Schedule {
            name,
            ..Schedule::default()
        }))
    }

    async fn run_schedule(
        &self,
        request: Request<RunScheduleRequest>,
    ) -> Result<Response<Job>, Status> {
        self.job("run schedule", request.into_inner().name)
    }

    async fn delete_schedule(
        &self,
        _request: Request<DeleteScheduleRequest>,
    ) -> Result<Response<()>, Status> {
        Ok(Response::new(()))
    }
}
