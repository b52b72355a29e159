//! Creating, reading, listing, counting and deleting jobs.

use std::collections::{BTreeSet, HashMap};

use headway::v1::{self, JobState};
use tonic::{Code, Request};

use crate::harness::{Harness, PARENT, batch, fields, name, refused, request, task};

#[tokio::test]
async fn a_job_is_created_once_and_read_whole() {
    let harness = Harness::start().await;
    let created = harness.create("one").await;
    assert_eq!(created.name, "partitions/acme/jobs/one");
    assert_eq!(created.state(), JobState::Active);
    assert!(created.create_time.is_some());
    let again = harness.create("one").await;
    assert_eq!(again.uid, created.uid);
    let read = harness.get("one").await;
    assert_eq!(read.uid, created.uid);
    assert_eq!(read.spec, created.spec);
    let Some(v1::job_spec::Work::Task(task)) = read.spec.unwrap().work else {
        panic!("not a task")
    };
    assert_eq!(task.payload, b"{\"file\":1}");

    let batch_job = harness.create_spec("many", batch()).await;
    assert_eq!(harness.get("many").await.spec, batch_job.spec);
    harness.stop().await;
}

#[tokio::test]
async fn the_same_id_with_another_spec_is_refused() {
    let harness = Harness::start().await;
    harness.create("one").await;
    let mut client = harness.client.clone();
    let (_, details) = refused(
        client.create_job(request("one", batch())).await,
        Code::AlreadyExists,
        "JOB_EXISTS",
    );
    let resource = details.resource_info().unwrap();
    assert_eq!(resource.resource_name, name("one"));
    assert_eq!(resource.resource_type, "headway.dev/Job");

    let with_request_id = |spec| v1::CreateJobRequest {
        request_id: "r-1".into(),
        ..request("", spec)
    };
    let first = client.create_job(with_request_id(task())).await.unwrap();
    let second = client.create_job(with_request_id(task())).await.unwrap();
    assert_eq!(first.get_ref().name, second.get_ref().name);
    let third = client.create_job(with_request_id(batch())).await;
    refused(third, Code::AlreadyExists, "REQUEST_ID_REUSED");
    harness.stop().await;
}

#[tokio::test]
async fn validate_only_answers_without_creating() {
    let harness = Harness::start().await;
    let mut client = harness.client.clone();
    let rehearse = |id: &str, spec| v1::CreateJobRequest {
        validate_only: true,
        ..request(id, spec)
    };
    let would = client.create_job(rehearse("one", batch())).await.unwrap();
    let would = would.into_inner();
    assert_eq!((would.uid.as_str(), would.state()), ("", JobState::Waiting));
    assert_eq!(would.name, name("one"));
    let read = client
        .get_job(v1::GetJobRequest { name: name("one") })
        .await;
    refused(read, Code::NotFound, "JOB_NOT_FOUND");

    let created = harness.create_spec("one", batch()).await;
    assert_eq!(created.spec, would.spec, "what was rehearsed is what comes");
    let same = client.create_job(rehearse("one", batch())).await.unwrap();
    assert_eq!(same.get_ref().uid, created.uid);
    let other = client.create_job(rehearse("one", task())).await;
    refused(other, Code::AlreadyExists, "JOB_EXISTS");
    let bad = client.create_job(rehearse("a/b", task())).await;
    let (_, details) = refused(bad, Code::InvalidArgument, "INVALID_FIELDS");
    assert_eq!(fields(&details), ["job_id"]);
    harness.stop().await;
}

#[tokio::test]
async fn the_caller_is_remembered() {
    let harness = Harness::start().await;
    let mut call = Request::new(request("one", task()));
    call.metadata_mut()
        .insert("x-headway-user", "ada".parse().unwrap());
    harness.client.clone().create_job(call).await.unwrap();
    assert_eq!(harness.get("one").await.created_by, "ada");
    assert_eq!(harness.create("two").await.created_by, "");
    harness.stop().await;
}

fn list(size: i32, token: &str) -> v1::ListJobsRequest {
    v1::ListJobsRequest {
        parent: PARENT.into(),
        page_size: size,
        page_token: token.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn pages_show_every_job_once_without_bodies() {
    let harness = Harness::start().await;
    for number in 0..5 {
        harness.create(&format!("job-{number}")).await;
    }
    let mut client = harness.client.clone();
    let mut seen = BTreeSet::new();
    let mut token = String::new();
    loop {
        let page = client
            .list_jobs(list(2, &token))
            .await
            .unwrap()
            .into_inner();
        assert!(page.jobs.len() <= 2);
        for job in page.jobs {
            assert!(seen.insert(job.name.clone()), "{} twice", job.name);
            let Some(v1::job_spec::Work::Task(task)) = job.spec.unwrap().work else {
                panic!("not a task")
            };
            assert!(task.payload.is_empty());
        }
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    harness.stop().await;
}

#[tokio::test]
async fn page_tokens_belong_to_their_query() {
    let harness = Harness::start().await;
    for number in 0..3 {
        harness.create(&format!("job-{number}")).await;
    }
    let mut client = harness.client.clone();
    let first = client.list_jobs(list(1, "")).await.unwrap().into_inner();
    let token = first.next_page_token;
    assert!(!token.is_empty());
    let other = v1::ListJobsRequest {
        filter: "state = ACTIVE".to_owned(),
        ..list(1, &token)
    };
    for bad in [list(1, "nonsense"), other] {
        let answer = client.list_jobs(bad).await;
        let (_, details) = refused(answer, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
        assert_eq!(fields(&details), ["page_token"]);
    }
    let failures = v1::ListFailuresRequest {
        parent: name("job-0"),
        page_size: 1,
        page_token: token,
        failure_filter: None,
    };
    let answer = client.list_failures(failures).await;
    refused(answer, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    harness.stop().await;
}

#[tokio::test]
async fn jobs_are_filtered_by_state_and_label() {
    let harness = Harness::start().await;
    let labelled = v1::JobSpec {
        labels: HashMap::from([("team".to_owned(), "blue".to_owned())]),
        ..task()
    };
    let done = harness.create("done").await;
    harness.finish(&done).await;
    harness.create_spec("labelled", labelled).await;
    let mut client = harness.client.clone();
    let mut names = async |request: v1::ListJobsRequest| -> Vec<String> {
        let page = client.list_jobs(request).await.unwrap().into_inner();
        page.jobs.into_iter().map(|job| job.name).collect()
    };
    let completed = v1::ListJobsRequest {
        filter: "state = COMPLETED".to_owned(),
        ..list(0, "")
    };
    assert_eq!(names(completed).await, [name("done")]);
    let blue = v1::ListJobsRequest {
        filter: "labels.team = blue".to_owned(),
        ..list(0, "")
    };
    assert_eq!(names(blue).await, [name("labelled")]);
    let elsewhere = v1::ListJobsRequest {
        parent: "partitions/other".into(),
        ..list(0, "")
    };
    assert!(names(elsewhere).await.is_empty(), "partitions are apart");
    harness.stop().await;
}

#[tokio::test]
async fn failures_are_listed_in_pages_and_shown_with_the_job() {
    let harness = Harness::start().await;
    let job = harness.create_spec("many", batch()).await;
    harness.split(&job, 5).await;
    let committed = harness.report(&job, vec![0, 4], &[1, 2, 3]).await;
    harness.relay.publish(committed).await;
    let job = harness.get("many").await;
    assert_eq!(job.state(), JobState::Failed);
    assert_eq!(job.failure_count, 3);
    assert_eq!(job.failure_sample.len(), 3);
    let progress = job.progress.unwrap();
    assert_eq!((progress.items_done, progress.items_failed), (2, 3));

    let mut client = harness.client.clone();
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let request = v1::ListFailuresRequest {
            parent: name("many"),
            page_size: 2,
            page_token: token,
            failure_filter: None,
        };
        let page = client.list_failures(request).await.unwrap().into_inner();
        items.extend(page.failures.iter().map(|failure| failure.item.clone()));
        assert!(
            page.failures
                .iter()
                .all(|failure| failure.code == "BROKEN" && failure.attempt == 1)
        );
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(items, ["1-1", "1-2", "1-3"]);
    harness.stop().await;
}

#[tokio::test]
async fn a_deleted_job_is_gone() {
    let harness = Harness::start().await;
    harness.create("one").await;
    let mut client = harness.client.clone();
    let delete = || v1::DeleteJobRequest {
        name: name("one"),
        ..v1::DeleteJobRequest::default()
    };
    client.delete_job(delete()).await.unwrap();
    refused(
        client.delete_job(delete()).await,
        Code::NotFound,
        "JOB_NOT_FOUND",
    );
    let read = client
        .get_job(v1::GetJobRequest { name: name("one") })
        .await;
    let (_, details) = refused(read, Code::NotFound, "JOB_NOT_FOUND");
    assert_eq!(details.resource_info().unwrap().resource_name, name("one"));
    harness.stop().await;
}

#[tokio::test]
async fn counts_are_of_one_partition() {
    let harness = Harness::start().await;
    let jobs = [harness.create("a").await, harness.create("b").await];
    harness.create("c").await;
    harness.finish(&jobs[0]).await;
    let pause = v1::PauseJobRequest {
        name: name("c"),
        ..v1::PauseJobRequest::default()
    };
    harness.client.clone().pause_job(pause).await.unwrap();
    let counts = |parent: &str| {
        let request = v1::CountJobsRequest {
            parent: parent.to_owned(),
            ..v1::CountJobsRequest::default()
        };
        let mut client = harness.client.clone();
        async move {
            let answer = client.count_jobs(request).await.unwrap().into_inner();
            let counts = answer.counts.into_iter();
            let mut counts: Vec<_> = counts
                .map(|count| (count.state(), count.job_count))
                .collect();
            counts.sort_unstable();
            counts
        }
    };
    let expected = [
        (JobState::Active, 1),
        (JobState::Paused, 1),
        (JobState::Completed, 1),
    ];
    assert_eq!(counts(PARENT).await, expected);
    assert_eq!(counts("partitions/other").await, []);
    harness.stop().await;
}

#[tokio::test]
async fn a_history_is_empty_for_a_job_that_just_began() {
    let harness = Harness::start().await;
    harness.create("j").await;
    let request = |id: &str| v1::GetJobHistoryRequest { name: name(id) };
    let history = harness.client.clone().get_job_history(request("j")).await;
    assert_eq!(history.unwrap().into_inner().samples, []);
    let unknown = harness
        .client
        .clone()
        .get_job_history(request("nobody"))
        .await;
    refused(unknown, Code::NotFound, "JOB_NOT_FOUND");
    harness.stop().await;
}
