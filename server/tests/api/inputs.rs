//! Bad inputs: the right code, details and sentence, and a server that goes on.

use headway::v1;
use prost_types::{ListValue, Value, value::Kind};
use tonic::{Code, codec::CompressionEncoding};

use crate::harness::{Harness, PARENT, batch, fields, mask, refused, request, task};

fn batch_with(change: impl FnOnce(&mut v1::BatchSpec)) -> v1::JobSpec {
    let mut spec = batch();
    if let Some(v1::job_spec::Work::Batch(batch)) = &mut spec.work {
        change(batch);
    }
    spec
}

fn payload(bytes: usize) -> v1::JobSpec {
    let mut spec = task();
    if let Some(v1::job_spec::Work::Task(task)) = &mut spec.work {
        task.payload = vec![b'x'; bytes];
    }
    spec
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(
        Value {
            kind: Some(Kind::BoolValue(true)),
        },
        |inner, _| Value {
            kind: Some(Kind::ListValue(ListValue {
                values: vec![inner],
            })),
        },
    )
}

#[tokio::test]
async fn updates_say_what_they_change() {
    let harness = Harness::start().await;
    let mut clients = harness.clients();
    harness.create("job").await;
    for update_mask in [None, mask(&[])] {
        let job = v1::UpdateJobRequest {
            job: Some(v1::Job {
                name: format!("{PARENT}/jobs/job"),
                ..v1::Job::default()
            }),
            update_mask: update_mask.clone(),
            ..v1::UpdateJobRequest::default()
        };
        let schedule = v1::UpdateScheduleRequest {
            schedule: Some(v1::Schedule {
                name: format!("{PARENT}/schedules/none"),
                cron: "@daily".to_owned(),
                spec: Some(task()),
                ..v1::Schedule::default()
            }),
            update_mask: update_mask.clone(),
            ..v1::UpdateScheduleRequest::default()
        };
        let job_type = v1::UpdateJobTypeRequest {
            job_type: Some(v1::JobType {
                name: "jobTypes/none".to_owned(),
                definition: "program: x".to_owned(),
                ..v1::JobType::default()
            }),
            update_mask: update_mask.clone(),
            ..v1::UpdateJobTypeRequest::default()
        };
        let partition = v1::UpdatePartitionRequest {
            partition: Some(v1::Partition {
                name: PARENT.to_owned(),
                weight: 3,
                ..v1::Partition::default()
            }),
            update_mask: update_mask.clone(),
            ..v1::UpdatePartitionRequest::default()
        };
        let limits = v1::UpdatePipeLimitsRequest {
            pipe_limits: Some(v1::PipeLimits {
                name: "pipes/documents/limits".to_owned(),
                ..v1::PipeLimits::default()
            }),
            update_mask,
            ..v1::UpdatePipeLimitsRequest::default()
        };
        for (updated, path) in [
            (clients.jobs.update_job(job).await.map(drop), "spec.labels"),
            (
                clients.schedules.update_schedule(schedule).await.map(drop),
                "time_zone",
            ),
            (
                clients.job_types.update_job_type(job_type).await.map(drop),
                "definition",
            ),
            (
                clients
                    .partitions
                    .update_partition(partition)
                    .await
                    .map(drop),
                "retention.failed",
            ),
            (
                clients.pipes.update_pipe_limits(limits).await.map(drop),
                "max_per_second",
            ),
        ] {
            let (_, details) = refused(updated, Code::InvalidArgument, "INVALID_FIELDS");
            assert_eq!(fields(&details), ["update_mask"]);
            let why = &details.bad_request().unwrap().field_violations[0].description;
            assert!(why.contains(path), "{why}");
        }
    }
    harness.stop().await;
}

#[tokio::test]
async fn bad_jobs_are_refused_by_field() {
    let harness = Harness::start().await;
    let mut client = harness.client.clone();
    let long = "x".repeat(129);
    let cases = vec![
        (request("a/b", task()), "job_id", "must not contain '/'"),
        (request(&long, task()), "job_id", "at most 128 bytes"),
        (
            v1::CreateJobRequest {
                parent: "acme".into(),
                ..request("x", task())
            },
            "parent",
            "partitions/{partition}",
        ),
        (
            v1::CreateJobRequest {
                spec: None,
                ..request("x", task())
            },
            "spec",
            "must be set",
        ),
        (
            v1::CreateJobRequest {
                request_id: long.clone(),
                ..request("x", task())
            },
            "request_id",
            "128",
        ),
        (
            request("x", v1::JobSpec::default()),
            "spec.work",
            "task or batch",
        ),
        (
            request("x", payload(1024 * 1024 + 1)),
            "spec.task.payload",
            "1048576",
        ),
        (
            request("x", batch_with(|batch| batch.splitter = "nothing".into())),
            "spec.batch.splitter",
            "files, json, lines, list, range",
        ),
        (
            request(
                "x",
                batch_with(|batch| {
                    batch.definition = Some(v1::batch_spec::Definition::Data(b"{\"from\"".to_vec()))
                }),
            ),
            "spec.batch.definition",
            "not JSON",
        ),
        (
            request(
                "x",
                batch_with(|batch| {
                    batch.definition = Some(v1::batch_spec::Definition::Json(nested(40)))
                }),
            ),
            "spec.batch.definition",
            "nested",
        ),
        (
            request(
                "x",
                v1::JobSpec {
                    max_in_flight: -1,
                    ..task()
                },
            ),
            "spec.max_in_flight",
            "1000000",
        ),
    ];
    for (request, field, says) in cases {
        let answer = client.create_job(request).await;
        let (status, details) = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(fields(&details), [field]);
        assert!(status.message().contains(says), "{}", status.message());
        assert!(status.message().starts_with(field), "{}", status.message());
    }
    assert_eq!(
        harness.create("fine").await.name,
        "partitions/acme/jobs/fine"
    );
    harness.stop().await;
}

#[tokio::test]
async fn bad_questions_are_refused_by_field() {
    let harness = Harness::start().await;
    let mut client = harness.client.clone();
    let list = v1::ListJobsRequest {
        parent: PARENT.into(),
        ..Default::default()
    };
    let cases = vec![
        (
            v1::ListJobsRequest {
                filter: "state = BUSY".to_owned(),
                ..list.clone()
            },
            "filter",
        ),
        (
            v1::ListJobsRequest {
                filter: "labels.\"a b\" = x".to_owned(),
                ..list.clone()
            },
            "filter",
        ),
        (
            v1::ListJobsRequest {
                page_size: -1,
                ..list.clone()
            },
            "page_size",
        ),
        (
            v1::ListJobsRequest {
                page_size: 1001,
                ..list.clone()
            },
            "page_size",
        ),
        (
            v1::ListJobsRequest {
                parent: String::new(),
                ..list.clone()
            },
            "parent",
        ),
    ];
    for (request, field) in cases {
        let answer = client.list_jobs(request).await;
        let (_, details) = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(fields(&details), [field]);
    }
    for name in [
        "",
        "jobs/x",
        "partitions/acme/jobs/",
        "partitions/acme/jobs/a.b",
    ] {
        let answer = client
            .get_job(v1::GetJobRequest { name: name.into() })
            .await;
        let (_, details) = refused(answer, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(fields(&details), ["name"]);
    }
    let watch = v1::WatchJobRequest {
        name: "partitions/acme/jobs/x".into(),
        min_interval: Some(prost_types::Duration {
            seconds: 61,
            nanos: 0,
        }),
        resume_token: "AAAA".into(),
        bookmark_interval: Some(prost_types::Duration {
            seconds: 601,
            nanos: 0,
        }),
    };
    let (_, details) = refused(
        client.watch_job(watch).await,
        Code::InvalidArgument,
        "INVALID_FIELDS",
    );
    assert_eq!(
        fields(&details),
        ["min_interval", "bookmark_interval", "resume_token"]
    );
    harness.stop().await;
}

#[tokio::test]
async fn a_request_that_is_too_large_gets_an_answer_and_the_connection_stays() {
    let harness = Harness::start().await;
    let mut client = harness.client.clone();
    let mut zipped = harness
        .client
        .clone()
        .send_compressed(CompressionEncoding::Gzip);
    for round in 0..20 {
        let answer = client
            .create_job(request("x", payload(5 * 1024 * 1024)))
            .await;
        let (status, _) = refused(answer, Code::InvalidArgument, "REQUEST_TOO_LARGE");
        assert!(
            status.message().contains("4194304"),
            "round {round}: {}",
            status.message()
        );
        let answer = zipped
            .create_job(request("x", payload(5 * 1024 * 1024)))
            .await;
        refused(answer, Code::InvalidArgument, "REQUEST_TOO_LARGE");
    }
    zipped
        .create_job(request("zipped", payload(100_000)))
        .await
        .unwrap();
    harness.create("fine").await;
    harness.stop().await;
}

#[tokio::test]
async fn what_cannot_be_decoded_gets_details_too() {
    let harness = Harness::start().await;
    let mut client = harness.client.clone();
    // Deeper than protobuf decoders go.
    let deep =
        batch_with(|batch| batch.definition = Some(v1::batch_spec::Definition::Json(nested(200))));
    let answer = client.create_job(request("x", deep)).await;
    refused(answer, Code::InvalidArgument, "MALFORMED_REQUEST");

    let mut grpc = tonic::client::Grpc::new(harness.channel.clone());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<v1::GetJobRequest, v1::Job>::default();
    let path = "/headway.v1.JobService/Unknown".parse().unwrap();
    let answer = grpc
        .unary(
            tonic::Request::new(v1::GetJobRequest::default()),
            path,
            codec,
        )
        .await;
    let (status, _) = refused(answer, Code::Unimplemented, "METHOD_UNKNOWN");
    assert!(status.message().contains("/headway.v1.JobService/Unknown"));
    harness.create("fine").await;
    harness.stop().await;
}

#[tokio::test]
async fn a_spec_as_large_as_allowed_can_be_read_by_a_client_with_default_limits() {
    let harness = Harness::start().await;
    let numbers = (0..250_000).map(|_| Value {
        kind: Some(Kind::NumberValue(1.0)),
    });
    let list = Value {
        kind: Some(Kind::ListValue(ListValue {
            values: numbers.collect(),
        })),
    };
    let large = batch_with(|batch| {
        batch.splitter = "json".into();
        batch.definition = Some(v1::batch_spec::Definition::Json(list));
    });
    let created = harness.create_spec("large", large.clone()).await;
    assert_eq!(harness.get("large").await.spec, created.spec);
    harness.stop().await;
}
