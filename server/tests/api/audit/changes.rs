//! The change that each method is for.

use headway::v1;
use headway_domain::{JobId, events::Caller};

use super::Named;
use crate::harness::{Harness, PARENT, mask, name, request, task};

fn schedule(id: &str) -> String {
    format!("{PARENT}/schedules/{id}")
}

fn hourly(id: &str) -> v1::Schedule {
    v1::Schedule {
        name: schedule(id),
        cron: "0 * * * *".to_owned(),
        spec: Some(task()),
        ..v1::Schedule::default()
    }
}

/// Makes the change that a method is for; false if the method is not known here.
pub(crate) async fn change<F>(harness: &Harness, method: &str, mut client: Named<F>) -> bool
where
    F: tonic::service::Interceptor,
{
    let changes = v1::ChangeJobsRequest {
        parent: PARENT.to_owned(),
        action: v1::JobAction::Pause.into(),
        filter: "id = nothing".to_owned(),
        ..v1::ChangeJobsRequest::default()
    };
    let id = method.to_ascii_lowercase();
    let name = name(&id);
    // What is there already, by nobody.
    if method.ends_with("Job") && method != "CreateJob" {
        harness.create(&id).await;
    }
    if method.ends_with("Schedule") && method != "CreateSchedule" {
        let make = v1::CreateScheduleRequest {
            parent: PARENT.to_owned(),
            schedule_id: id.clone(),
            schedule: Some(hourly("")),
            ..v1::CreateScheduleRequest::default()
        };
        harness
            .clients()
            .schedules
            .create_schedule(make)
            .await
            .unwrap();
    }
    match method {
        "CreateJob" => drop(client.jobs.create_job(request(&id, task())).await.unwrap()),
        "BatchCreateJobs" => {
            let jobs = vec![v1::BatchCreateJobsEntry {
                job_id: id,
                spec: Some(task()),
                ..v1::BatchCreateJobsEntry::default()
            }];
            let parent = PARENT.to_owned();
            let request = v1::BatchCreateJobsRequest {
                parent,
                jobs,
                ..v1::BatchCreateJobsRequest::default()
            };
            drop(client.jobs.batch_create_jobs(request).await.unwrap());
        }
        "PauseJob" => drop(
            client
                .jobs
                .pause_job(v1::PauseJobRequest {
                    name,
                    ..v1::PauseJobRequest::default()
                })
                .await
                .unwrap(),
        ),
        "ResumeJob" => {
            let pause = v1::PauseJobRequest {
                name: name.clone(),
                ..v1::PauseJobRequest::default()
            };
            harness.client.clone().pause_job(pause).await.unwrap();
            drop(
                client
                    .jobs
                    .resume_job(v1::ResumeJobRequest {
                        name,
                        ..v1::ResumeJobRequest::default()
                    })
                    .await
                    .unwrap(),
            );
        }
        "CancelJob" => drop(
            client
                .jobs
                .cancel_job(v1::CancelJobRequest {
                    name,
                    ..v1::CancelJobRequest::default()
                })
                .await
                .unwrap(),
        ),
        "RetryJob" => {
            let job = harness.get(&id).await;
            let committed = harness.report(&job, Vec::new(), &[0]).await;
            harness.relay.publish(committed).await;
            let request = v1::RetryJobRequest {
                name,
                ..v1::RetryJobRequest::default()
            };
            drop(client.jobs.retry_job(request).await.unwrap());
        }
        "UpdateJob" => {
            let job = v1::Job {
                name,
                spec: Some(v1::JobSpec {
                    priority: Some(3),
                    ..v1::JobSpec::default()
                }),
                ..v1::Job::default()
            };
            let request = v1::UpdateJobRequest {
                job: Some(job),
                update_mask: mask(&["spec.priority"]),
                ..v1::UpdateJobRequest::default()
            };
            drop(client.jobs.update_job(request).await.unwrap());
        }
        "DeleteJob" => drop(
            client
                .jobs
                .delete_job(v1::DeleteJobRequest {
                    name,
                    ..v1::DeleteJobRequest::default()
                })
                .await
                .unwrap(),
        ),
        "ChangeJobs" => drop(client.jobs.change_jobs(changes).await.unwrap()),
        "DropDeadLetters" => {
            let request = v1::DropDeadLettersRequest {
                parent: PARENT.to_owned(),
                all: true,
                ..v1::DropDeadLettersRequest::default()
            };
            drop(client.pipes.drop_dead_letters(request).await.unwrap());
        }
        // A definition is looked at by a process of the server's program, which this test is not.
        "CreateJobType" | "UpdateJobType" => {
            let caller = Caller {
                user: method.to_owned(),
                correlation: String::new(),
            };
            let id = JobId::new(id).unwrap();
            let nobody = Caller::default();
            let (store, update) = (harness.store(), method == "UpdateJobType");
            let maker = if update { &nobody } else { &caller };
            store
                .job_types()
                .create(&id, "program: x", maker)
                .await
                .unwrap();
            if update {
                store
                    .job_types()
                    .update(&id, "program: y", None, &caller)
                    .await
                    .unwrap();
            }
        }
        "DeleteJobType" => {
            let job_type = JobId::new("copy").unwrap();
            let nobody = Caller::default();
            let made = harness
                .store()
                .job_types()
                .create(&job_type, "program: x", &nobody);
            made.await.unwrap();
            let name = "jobTypes/copy".to_owned();
            drop(
                client
                    .job_types
                    .delete_job_type(v1::DeleteJobTypeRequest {
                        name,
                        ..v1::DeleteJobTypeRequest::default()
                    })
                    .await
                    .unwrap(),
            );
        }
        "UpdatePipeLimits" => {
            let limits = v1::PipeLimits {
                name: "pipes/documents/limits".to_owned(),
                max_in_flight: 7,
                ..v1::PipeLimits::default()
            };
            let request = v1::UpdatePipeLimitsRequest {
                pipe_limits: Some(limits),
                update_mask: mask(&["max_in_flight"]),
                ..v1::UpdatePipeLimitsRequest::default()
            };
            drop(client.pipes.update_pipe_limits(request).await.unwrap());
        }
        "CreateSchedule" => {
            let request = v1::CreateScheduleRequest {
                parent: PARENT.to_owned(),
                schedule_id: id,
                schedule: Some(hourly("")),
                ..v1::CreateScheduleRequest::default()
            };
            drop(client.schedules.create_schedule(request).await.unwrap());
        }
        "UpdateSchedule" => {
            let schedule = Some(hourly(&id));
            let request = v1::UpdateScheduleRequest {
                schedule,
                update_mask: mask(&["cron", "time_zone", "overlap", "catch_up_window", "spec"]),
                ..v1::UpdateScheduleRequest::default()
            };
            let updated = client.schedules.update_schedule(request).await.unwrap();
            assert_eq!(
                updated.get_ref().updated_by,
                method,
                "the author of later jobs"
            );
        }
        "PauseSchedule" => {
            let name = schedule(&id);
            drop(
                client
                    .schedules
                    .pause_schedule(v1::PauseScheduleRequest { name })
                    .await
                    .unwrap(),
            );
        }
        "ResumeSchedule" => {
            let name = schedule(&id);
            let pause = v1::PauseScheduleRequest { name: name.clone() };
            harness
                .clients()
                .schedules
                .pause_schedule(pause)
                .await
                .unwrap();
            drop(
                client
                    .schedules
                    .resume_schedule(v1::ResumeScheduleRequest { name })
                    .await
                    .unwrap(),
            );
        }
        "RunSchedule" => {
            let name = schedule(&id);
            drop(
                client
                    .schedules
                    .run_schedule(v1::RunScheduleRequest {
                        name,
                        ..v1::RunScheduleRequest::default()
                    })
                    .await
                    .unwrap(),
            );
        }
        "DeleteSchedule" => {
            let name = schedule(&id);
            drop(
                client
                    .schedules
                    .delete_schedule(v1::DeleteScheduleRequest {
                        name,
                        ..v1::DeleteScheduleRequest::default()
                    })
                    .await
                    .unwrap(),
            );
        }
        "UpdatePartition" => {
            let partition = v1::Partition {
                name: PARENT.to_owned(),
                weight: 3,
                ..v1::Partition::default()
            };
            let request = v1::UpdatePartitionRequest {
                partition: Some(partition),
                update_mask: mask(&["weight"]),
                ..v1::UpdatePartitionRequest::default()
            };
            drop(client.partitions.update_partition(request).await.unwrap());
        }
        "SuspendPartition" => {
            let name = PARENT.to_owned();
            drop(
                client
                    .partitions
                    .suspend_partition(v1::SuspendPartitionRequest { name })
                    .await
                    .unwrap(),
            );
        }
        "ResumePartition" => {
            let name = PARENT.to_owned();
            let suspend = v1::SuspendPartitionRequest { name: name.clone() };
            harness
                .clients()
                .partitions
                .suspend_partition(suspend)
                .await
                .unwrap();
            drop(
                client
                    .partitions
                    .resume_partition(v1::ResumePartitionRequest { name })
                    .await
                    .unwrap(),
            );
        }
        _ => return false,
    }
    true
}
