//! Calls with `validate_only`: they answer what they would do, and do nothing.

use headway::v1::{self, batch_create_jobs_result::Result as Outcome};
use tonic::Code;

use crate::harness::{Harness, PARENT, batch, fields, mask, name, refused, task};

fn schedule(cron: &str) -> v1::Schedule {
    v1::Schedule {
        name: format!("{PARENT}/schedules/plan"),
        cron: cron.to_owned(),
        spec: Some(task()),
        ..v1::Schedule::default()
    }
}

#[tokio::test]
async fn schedules_are_only_checked() {
    let harness = Harness::start().await;
    let mut client = harness.clients().schedules;
    let create = |cron: &str, validate_only| v1::CreateScheduleRequest {
        parent: PARENT.to_owned(),
        schedule_id: "plan".to_owned(),
        schedule: Some(schedule(cron)),
        validate_only,
    };
    let update = |cron: &str, validate_only| v1::UpdateScheduleRequest {
        schedule: Some(schedule(cron)),
        update_mask: mask(&["cron"]),
        validate_only,
    };
    let get = v1::GetScheduleRequest {
        name: schedule("").name,
    };
    let would_be = client
        .create_schedule(create("@daily", true))
        .await
        .unwrap();
    assert_eq!(would_be.get_ref().name, schedule("").name);
    let none = client.get_schedule(get.clone()).await;
    refused(none, Code::NotFound, "SCHEDULE_NOT_FOUND");
    let bad = client.create_schedule(create("soon", true)).await;
    let (_, details) = refused(bad, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&details), ["schedule.cron"]);
    let missing = client.update_schedule(update("@daily", true)).await;
    refused(missing, Code::NotFound, "SCHEDULE_NOT_FOUND");
    client
        .create_schedule(create("@daily", false))
        .await
        .unwrap();
    let taken = client.create_schedule(create("@daily", true)).await;
    refused(taken, Code::AlreadyExists, "SCHEDULE_EXISTS");
    let would_be = client
        .update_schedule(update("@weekly", true))
        .await
        .unwrap();
    assert_eq!(would_be.get_ref().cron, "@weekly");
    let kept = client.get_schedule(get).await.unwrap();
    assert_eq!(kept.get_ref().cron, "@daily");
    harness.stop().await;
}

#[tokio::test]
async fn settings_are_only_checked() {
    let harness = Harness::start().await;
    let mut clients = harness.clients();
    let update = v1::UpdatePartitionRequest {
        partition: Some(v1::Partition {
            name: PARENT.to_owned(),
            weight: 3,
            ..v1::Partition::default()
        }),
        update_mask: mask(&["weight"]),
        validate_only: true,
    };
    let would_be = clients.partitions.update_partition(update).await.unwrap();
    let get = v1::GetPartitionRequest {
        name: PARENT.to_owned(),
    };
    let kept = clients.partitions.get_partition(get).await.unwrap();
    assert_eq!((would_be.get_ref().weight, kept.get_ref().weight), (3, 1));
    assert_ne!(would_be.get_ref().etag, kept.get_ref().etag);

    let limits = "pipes/documents/limits".to_owned();
    let update = |etag: &str| v1::UpdatePipeLimitsRequest {
        pipe_limits: Some(v1::PipeLimits {
            name: limits.clone(),
            max_in_flight: 7,
            etag: etag.to_owned(),
            ..v1::PipeLimits::default()
        }),
        update_mask: mask(&["max_in_flight"]),
        validate_only: true,
    };
    let would_be = clients.pipes.update_pipe_limits(update("")).await.unwrap();
    assert_eq!(would_be.get_ref().max_in_flight, 7);
    let other = clients.pipes.update_pipe_limits(update("x")).await;
    refused(other, Code::Aborted, "ETAG_MISMATCH");
    let get = v1::GetPipeLimitsRequest {
        name: limits.clone(),
    };
    let kept = clients.pipes.get_pipe_limits(get).await.unwrap();
    assert_eq!(kept.get_ref().max_in_flight, 0);
    harness.stop().await;
}

#[tokio::test]
async fn many_jobs_are_only_checked() {
    let harness = Harness::start().await;
    harness.create("there").await;
    let entry = |id: &str, request_id: &str, spec| v1::BatchCreateJobsEntry {
        job_id: id.to_owned(),
        spec: Some(spec),
        request_id: request_id.to_owned(),
    };
    let request = |validate_only| v1::BatchCreateJobsRequest {
        parent: PARENT.to_owned(),
        jobs: vec![
            entry("a", "", task()),
            entry("a", "", task()),
            entry("a", "", batch()),
            entry("", "once", task()),
            entry("", "once", task()),
            entry("", "once", batch()),
            entry("there", "", task()),
            entry("there", "", batch()),
            entry("bad", "", v1::JobSpec::default()),
        ],
        validate_only,
    };
    let mut client = harness.client.clone();
    let mut results = Vec::new();
    for validate_only in [true, false] {
        let answer = client.batch_create_jobs(request(validate_only)).await;
        let answer = answer.unwrap().into_inner();
        let results_of = answer.results.into_iter().map(|result| result.result);
        results.push(results_of.map(Option::unwrap).collect::<Vec<_>>());
        if validate_only {
            let missing = client.get_job(v1::GetJobRequest { name: name("a") }).await;
            refused(missing, Code::NotFound, "JOB_NOT_FOUND");
        }
    }
    let codes = |results: &[Outcome]| {
        let codes = results.iter().map(|result| match result {
            Outcome::Job(_) => 0,
            Outcome::Error(status) => status.code,
        });
        codes.collect::<Vec<_>>()
    };
    let [tried, made] = results.as_slice() else {
        panic!("two calls were made")
    };
    assert_eq!(codes(tried), codes(made));
    assert_eq!(codes(tried), [0, 0, 6, 0, 0, 6, 0, 6, 3]);
    let job = |at: usize| match &tried[at] {
        Outcome::Job(job) => job.clone(),
        Outcome::Error(status) => panic!("{status:?}"),
    };
    assert_eq!((job(0).name, job(0).uid), (name("a"), String::new()));
    assert_eq!(job(3).name, job(4).name, "one request, one job");
    assert!(!job(6).uid.is_empty(), "it exists");
    harness.stop().await;
}

/// An entry that is answered with the job of its request id leaves its own id to a later one.
#[tokio::test]
async fn an_id_that_was_not_used_is_free() {
    let harness = Harness::start().await;
    let entry = |id: &str, request_id: &str, spec| v1::BatchCreateJobsEntry {
        job_id: id.to_owned(),
        spec: Some(spec),
        request_id: request_id.to_owned(),
    };
    let request = |jobs, validate_only| v1::BatchCreateJobsRequest {
        parent: PARENT.to_owned(),
        jobs,
        validate_only,
    };
    let mut client = harness.client.clone();
    let first = request(vec![entry("there", "once", task())], false);
    client.batch_create_jobs(first).await.unwrap();
    let entries = vec![
        entry("free", "once", task()),
        entry("free", "", batch()),
        entry("there", "", batch()),
    ];
    for validate_only in [true, false] {
        let answer = client.batch_create_jobs(request(entries.clone(), validate_only));
        let answer = answer.await.unwrap().into_inner();
        let results = answer.results.into_iter().map(|result| result.result);
        let results: Vec<_> = results.map(Option::unwrap).collect();
        let [
            Outcome::Job(existing),
            Outcome::Job(new),
            Outcome::Error(taken),
        ] = results.as_slice()
        else {
            panic!("{results:?}")
        };
        assert_eq!((&existing.name, &new.name), (&name("there"), &name("free")));
        assert_eq!(taken.code, Code::AlreadyExists as i32);
    }
    harness.stop().await;
}
