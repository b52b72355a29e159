//! Every change by a caller stands in the audit log with who it was.

use std::collections::BTreeSet;

use headway::v1;
use headway_domain::{JobId, event::Caller};
use prost_reflect::DescriptorPool;
use tonic::{
    Code, Request, Status,
    metadata::{MetadataMap, MetadataValue},
    service::interceptor::InterceptedService,
    transport::Channel,
};

use crate::harness::{Clients, Harness, PARENT, fields, name, refused, request, task};

type Named<F> = Clients<InterceptedService<Channel, F>>;

/// A client whose calls have a user.
fn client_of(
    harness: &Harness,
    user: &str,
) -> Named<impl FnMut(Request<()>) -> Result<Request<()>, Status> + Clone> {
    let user: MetadataValue<_> = user.parse().unwrap();
    let named = move |mut request: Request<()>| {
        request
            .metadata_mut()
            .insert("x-headway-user", user.clone());
        Ok(request)
    };
    clients!(InterceptedService::new(harness.channel.clone(), named))
}

/// The methods that change nothing.
const READS: [&str; 21] = [
    "CountJobs",
    "ExplainJob",
    "GetJob",
    "GetJobHistory",
    "GetJobType",
    "GetPartition",
    "GetPipeLimits",
    "GetSchedule",
    "ListBatches",
    "ListDeadLetters",
    "ListEvents",
    "ListFailures",
    "ListJobTypes",
    "ListJobs",
    "ListPipeLimits",
    "ListPipes",
    "ListSchedules",
    "ListSuspendedPartitions",
    "WatchEvents",
    "WatchJob",
    "WatchJobs",
];

fn schedule(id: &str) -> String {
    format!("{PARENT}/schedules/{id}")
}

fn hourly(id: &str) -> v1::Schedule {
    v1::Schedule {
        name: schedule(id),
        cron: "0 * * * *".to_owned(),
        job: Some(task()),
        ..v1::Schedule::default()
    }
}

/// Makes the change that a method is for; false if the method is not known here.
async fn change<F>(harness: &Harness, method: &str, mut client: Named<F>) -> bool
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
            let request = v1::BatchCreateJobsRequest { parent, jobs };
            drop(client.jobs.batch_create_jobs(request).await.unwrap());
        }
        "PauseJob" => drop(
            client
                .jobs
                .pause_job(v1::PauseJobRequest { name })
                .await
                .unwrap(),
        ),
        "ResumeJob" => {
            let pause = v1::PauseJobRequest { name: name.clone() };
            harness.client.clone().pause_job(pause).await.unwrap();
            drop(
                client
                    .jobs
                    .resume_job(v1::ResumeJobRequest { name })
                    .await
                    .unwrap(),
            );
        }
        "CancelJob" => drop(
            client
                .jobs
                .cancel_job(v1::CancelJobRequest { name })
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
            let paths = vec!["spec.priority".to_owned()];
            let request = v1::UpdateJobRequest {
                job: Some(job),
                update_mask: Some(prost_types::FieldMask { paths }),
            };
            drop(client.jobs.update_job(request).await.unwrap());
        }
        "DeleteJob" => drop(
            client
                .jobs
                .delete_job(v1::DeleteJobRequest { name })
                .await
                .unwrap(),
        ),
        "ChangeJobs" => drop(client.jobs.change_jobs(changes).await.unwrap()),
        "DropDeadLetters" => {
            let request = v1::DropDeadLettersRequest {
                parent: PARENT.to_owned(),
                all: true,
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
                update_mask: None,
            };
            drop(client.pipes.update_pipe_limits(request).await.unwrap());
        }
        "CreateSchedule" => {
            let request = v1::CreateScheduleRequest {
                parent: PARENT.to_owned(),
                schedule_id: id,
                schedule: Some(hourly("")),
            };
            drop(client.schedules.create_schedule(request).await.unwrap());
        }
        "UpdateSchedule" => {
            let schedule = Some(hourly(&id));
            let request = v1::UpdateScheduleRequest {
                schedule,
                update_mask: None,
            };
            let updated = client.schedules.update_schedule(request).await.unwrap();
            assert_eq!(
                updated.get_ref().creator,
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
                    .run_schedule(v1::RunScheduleRequest { name })
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
                update_mask: None,
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

async fn events(harness: &Harness, parent: &str) -> Vec<v1::AuditEvent> {
    let request = v1::ListEventsRequest {
        parent: parent.to_owned(),
        page_size: 1000,
        ..v1::ListEventsRequest::default()
    };
    let answer = harness
        .clients()
        .events
        .list_events(request)
        .await
        .unwrap()
        .into_inner();
    assert!(answer.next_page_token.is_empty());
    answer.events
}

#[tokio::test]
async fn every_method_that_changes_anything_leaves_an_event_with_its_caller() {
    let harness = Harness::start().await;
    let pool = DescriptorPool::decode(headway::FILE_DESCRIPTOR_SET).unwrap();
    let ours = pool
        .services()
        .filter(|service| service.package_name() == "headway.v1");
    let methods: BTreeSet<String> = ours
        .flat_map(|service| {
            service
                .methods()
                .map(|m| m.name().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(methods.len() >= 40, "{methods:?}");
    let mut changing = Vec::new();
    for method in &methods {
        if READS.contains(&method.as_str()) {
            continue;
        }
        let client = client_of(&harness, method);
        assert!(
            change(&harness, method, client).await,
            "say here whether {method} changes anything, and how"
        );
        changing.push(method);
    }
    let mut events_of_all = events(&harness, PARENT).await;
    events_of_all.extend(events(&harness, "deployment").await);
    for method in changing {
        let of = events_of_all.iter().filter(|event| event.actor == *method);
        let of: Vec<_> = of.collect();
        assert_eq!(of.len(), 1, "{method}: {of:?}");
        assert_ne!(of[0].job.is_empty(), of[0].subject.is_empty(), "{of:?}");
        assert!(of[0].kind > 0);
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_name_behind_the_body_is_not_listened_to() {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use prost::Message;
    let harness = Harness::start().await;
    let stream = tokio::net::TcpStream::connect(harness.address)
        .await
        .unwrap();
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let message = request("one", task()).encode_to_vec();
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message);
    let trailers = http::HeaderMap::from_iter([(
        http::HeaderName::from_static("x-headway-user"),
        http::HeaderValue::from_static("eve"),
    )]);
    let body =
        Full::new(bytes::Bytes::from(frame)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let uri = format!("http://{}/headway.v1.JobService/CreateJob", harness.address);
    let request = http::Request::post(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-headway-user", "ada")
        .body(body)
        .unwrap();
    let answer = send.send_request(request).await.unwrap();
    answer.into_body().collect().await.unwrap();
    assert_eq!(harness.get("one").await.creator, "ada");
    harness.stop().await;
}

#[tokio::test]
async fn names_are_recorded_as_they_are_or_refused() {
    let harness = Harness::start().await;
    let call = |id: &str, metadata: MetadataMap| {
        let message = request(id, task());
        let mut client = harness.client.clone();
        async move {
            let request = Request::from_parts(metadata, tonic::Extensions::new(), message);
            client.create_job(request).await
        }
    };
    let mut umlaut = MetadataMap::new();
    umlaut.insert_bin(
        "x-headway-user-bin",
        MetadataValue::from_bytes("Jürgen".as_bytes()),
    );
    let job = call("one", umlaut).await.unwrap().into_inner();
    assert_eq!(job.creator, "Jürgen");
    let mut own = MetadataMap::new();
    own.insert("x-headway-user", "Headway".parse().unwrap());
    let (status, details) = refused(
        call("two", own).await,
        Code::InvalidArgument,
        "INVALID_FIELDS",
    );
    assert_eq!(fields(&details), ["x-headway-user"]);
    assert!(status.message().contains("Headway's own"), "{status:?}");
    // As a proxy or another language may send it: the bytes of UTF-8 in a plain header.
    let mut raw = http::HeaderMap::new();
    let value = http::HeaderValue::from_bytes("Zoë".as_bytes()).unwrap();
    raw.insert("x-headway-user", value);
    let job = call("three", MetadataMap::from_headers(raw)).await.unwrap();
    assert_eq!(job.into_inner().creator, "Zoë");
    harness.stop().await;
}
