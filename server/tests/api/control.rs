//! Pause, resume, cancel and retry, and what each refuses.

use headway::v1::{self, JobState};
use headway_broker::{Queue, Topic};
use headway_domain::reports::ItemEvent;
use tonic::Code;

use crate::{
    harness::{Harness, PARENT, batch, fields, mask, name, refused},
    watches::stream::{Watch, all},
};

#[tokio::test]
async fn a_job_is_paused_resumed_cancelled_and_retried() {
    let harness = Harness::start().await;
    let mut client = harness.client.clone();
    let job = harness.create("one").await;
    let mut workers = harness
        .relay
        .broker()
        .subscribe(Topic::Control, &[])
        .await
        .unwrap();

    let name = || name("one");
    let paused = client
        .pause_job(v1::PauseJobRequest {
            name: name(),
            ..v1::PauseJobRequest::default()
        })
        .await
        .unwrap();
    assert_eq!(paused.get_ref().state(), JobState::Paused);
    assert!(workers.next().await.unwrap().is_some(), "workers are told");
    let again = client
        .pause_job(v1::PauseJobRequest {
            name: name(),
            ..v1::PauseJobRequest::default()
        })
        .await
        .unwrap();
    assert_eq!(again.get_ref().revision, paused.get_ref().revision);
    let resumed = client
        .resume_job(v1::ResumeJobRequest {
            name: name(),
            ..v1::ResumeJobRequest::default()
        })
        .await
        .unwrap();
    assert_eq!(resumed.get_ref().state(), JobState::Active);
    assert!(resumed.get_ref().revision > paused.get_ref().revision);
    let cancelled = client
        .cancel_job(v1::CancelJobRequest {
            name: name(),
            ..v1::CancelJobRequest::default()
        })
        .await
        .unwrap();
    assert_eq!(cancelled.get_ref().state(), JobState::Cancelled);

    // Its item is at a worker: trying again a little later helps.
    let early = client
        .retry_job(v1::RetryJobRequest {
            name: name(),
            ..v1::RetryJobRequest::default()
        })
        .await;
    let (_, details) = refused(early, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
    assert!(details.retry_info().is_some());
    harness.finish(&job).await;
    assert!(harness.get("one").await.settled_time.is_some());
    harness.stop().await;
}

#[tokio::test]
async fn illegal_transitions_say_why() {
    let harness = Harness::start().await;
    let mut client = harness.client.clone();
    let job = harness.create("one").await;
    harness.finish(&job).await;
    assert_eq!(harness.get("one").await.state(), JobState::Completed);

    let name = || name("one");
    let answers = [
        (
            "pause",
            client
                .pause_job(v1::PauseJobRequest {
                    name: name(),
                    ..v1::PauseJobRequest::default()
                })
                .await,
        ),
        (
            "resume",
            client
                .resume_job(v1::ResumeJobRequest {
                    name: name(),
                    ..v1::ResumeJobRequest::default()
                })
                .await,
        ),
        (
            "cancel",
            client
                .cancel_job(v1::CancelJobRequest {
                    name: name(),
                    ..v1::CancelJobRequest::default()
                })
                .await,
        ),
        (
            "retry",
            client
                .retry_job(v1::RetryJobRequest {
                    name: name(),
                    ..v1::RetryJobRequest::default()
                })
                .await,
        ),
    ];
    for (action, answer) in answers {
        let (status, details) = refused(answer, Code::FailedPrecondition, "ILLEGAL_TRANSITION");
        let violation = &details.precondition_failure().unwrap().violations[0];
        assert_eq!(
            (violation.r#type.as_str(), violation.subject.as_str()),
            ("COMPLETED", name().as_str())
        );
        assert!(status.message().contains(action), "{}", status.message());
        assert!(details.retry_info().is_none(), "waiting does not help");
    }
    harness.stop().await;
}

#[tokio::test]
async fn jobs_of_other_partitions_are_not_there() {
    let harness = Harness::start().await;
    let mut client = harness.client.clone();
    harness.create("one").await;
    let name = || "partitions/other/jobs/one".to_owned();
    let answers = [
        client
            .get_job(v1::GetJobRequest { name: name() })
            .await
            .map(drop),
        client
            .pause_job(v1::PauseJobRequest {
                name: name(),
                ..v1::PauseJobRequest::default()
            })
            .await
            .map(drop),
        client
            .resume_job(v1::ResumeJobRequest {
                name: name(),
                ..v1::ResumeJobRequest::default()
            })
            .await
            .map(drop),
        client
            .cancel_job(v1::CancelJobRequest {
                name: name(),
                ..v1::CancelJobRequest::default()
            })
            .await
            .map(drop),
        client
            .retry_job(v1::RetryJobRequest {
                name: name(),
                ..v1::RetryJobRequest::default()
            })
            .await
            .map(drop),
        client
            .delete_job(v1::DeleteJobRequest {
                name: name(),
                ..v1::DeleteJobRequest::default()
            })
            .await
            .map(drop),
        client
            .watch_job(v1::WatchJobRequest {
                name: name(),
                min_interval: None,
                ..v1::WatchJobRequest::default()
            })
            .await
            .map(drop),
        client
            .list_failures(v1::ListFailuresRequest {
                parent: name(),
                ..Default::default()
            })
            .await
            .map(drop),
    ];
    for answer in answers {
        let (_, details) = refused(answer, Code::NotFound, "JOB_NOT_FOUND");
        assert_eq!(details.resource_info().unwrap().resource_name, name());
    }
    assert_eq!(harness.get("one").await.state(), JobState::Active);
    harness.stop().await;
}

#[tokio::test]
async fn the_message_of_a_task_is_in_its_pipe() {
    let harness = Harness::start().await;
    let broker = harness.relay.broker().clone();
    harness.create("one").await;
    let mut consumer = broker
        .consume(&Queue::Pipe("documents".into()), 10)
        .await
        .unwrap();
    let deliveries = consumer.next(10).await.unwrap();
    assert_eq!(deliveries.len(), 1);
    harness.stop().await;
}

/// What is open or parked when a job ends does not run, and is not shown as if it would.
#[tokio::test]
async fn an_ended_job_has_nothing_open_but_what_is_in_flight() {
    let harness = Harness::start().await;
    let mut client = harness.client.clone();
    let mut spec = batch();
    spec.max_in_flight = 3;
    let job = harness.create_spec("one", spec).await;
    harness.split(&job, 5).await;
    let pause = v1::PauseJobRequest {
        name: name("one"),
        ..v1::PauseJobRequest::default()
    };
    client.pause_job(pause).await.unwrap();
    harness.report_items(&job, &[(0, ItemEvent::Parked)]).await;
    let counts = |job: &v1::Job| {
        let progress = job.progress.unwrap();
        let waiting = (progress.items_parked, progress.items_delayed);
        let outcomes = (progress.items_done, progress.items_discarded);
        (
            outcomes,
            progress.items_open,
            progress.items_in_flight,
            waiting,
        )
    };
    let paused = harness.get("one").await;
    assert_eq!(counts(&paused), ((0, 0), 5, 2, (1, 0)));

    let cancel = v1::CancelJobRequest {
        name: name("one"),
        ..v1::CancelJobRequest::default()
    };
    let cancelled = client.cancel_job(cancel).await.unwrap().into_inner();
    let ended = ((0, 3), 2, 2, (0, 0));
    assert_eq!(counts(&cancelled), ended);
    assert_eq!(counts(&harness.get("one").await), ended);
    let list = v1::ListJobsRequest {
        parent: PARENT.to_owned(),
        ..v1::ListJobsRequest::default()
    };
    let listed = client.list_jobs(list).await.unwrap().into_inner().jobs;
    assert_eq!(listed.iter().map(counts).collect::<Vec<_>>(), [ended]);
    let watch = Watch::listed(&harness, all()).await;
    assert_eq!(watch.jobs.values().map(counts).collect::<Vec<_>>(), [ended]);

    let last = [(1, ItemEvent::Done), (2, ItemEvent::Discarded)];
    harness.report_items(&job, &last).await;
    let settled = harness.get("one").await;
    assert!(settled.settled_time.is_some());
    assert_eq!(counts(&settled), ((1, 4), 0, 0, (0, 0)));

    // They are open again where they are to run again.
    let retry = v1::RetryJobRequest {
        name: name("one"),
        ..v1::RetryJobRequest::default()
    };
    let retried = client.retry_job(retry).await.unwrap().into_inner();
    assert_eq!(counts(&retried), ((1, 0), 4, 3, (0, 0)));
    harness.stop().await;
}

#[tokio::test]
async fn a_call_for_a_uid_never_meets_another_job() {
    let harness = Harness::start().await;
    let mut client = harness.client.clone();
    let old = harness.create("one").await;
    let delete = |uid: &str| v1::DeleteJobRequest {
        name: name("one"),
        uid: uid.to_owned(),
    };
    client.delete_job(delete(&old.uid)).await.unwrap();
    let new = harness.create("one").await;
    assert_ne!(old.uid, new.uid);
    let (name, uid) = (new.name.clone(), old.uid.clone());
    let update = |uid: &str| v1::UpdateJobRequest {
        job: Some(v1::Job {
            name: name.clone(),
            spec: Some(v1::JobSpec {
                priority: Some(7),
                ..v1::JobSpec::default()
            }),
            ..v1::Job::default()
        }),
        update_mask: mask(&["spec.priority"]),
        uid: uid.to_owned(),
    };
    let pause = |uid: &str| v1::PauseJobRequest {
        name: name.clone(),
        uid: uid.to_owned(),
    };
    let resume = v1::ResumeJobRequest {
        name: name.clone(),
        uid: uid.clone(),
    };
    let cancel = v1::CancelJobRequest {
        name: name.clone(),
        uid: uid.clone(),
    };
    let retry = v1::RetryJobRequest {
        name: name.clone(),
        uid: uid.clone(),
        ..v1::RetryJobRequest::default()
    };
    for refusal in [
        client.pause_job(pause(&uid)).await.map(drop),
        client.resume_job(resume).await.map(drop),
        client.cancel_job(cancel).await.map(drop),
        client.retry_job(retry).await.map(drop),
        client.update_job(update(&uid)).await.map(drop),
        client.delete_job(delete(&uid)).await.map(drop),
    ] {
        refused(refusal, Code::NotFound, "JOB_NOT_FOUND");
    }
    assert_eq!(harness.get("one").await.revision, new.revision);
    for refusal in [
        client.pause_job(pause("x")).await.map(drop),
        client.update_job(update("x")).await.map(drop),
        client.delete_job(delete("x")).await.map(drop),
    ] {
        let (_, details) = refused(refusal, Code::InvalidArgument, "INVALID_FIELDS");
        assert_eq!(fields(&details), ["uid"]);
    }
    let paused = client.pause_job(pause(&new.uid)).await.unwrap();
    assert_eq!(paused.get_ref().state(), JobState::Paused);
    let updated = client.update_job(update(&new.uid)).await.unwrap();
    let spec = updated.into_inner().spec.unwrap();
    assert_eq!(spec.priority, Some(7));
    client.delete_job(delete(&new.uid)).await.unwrap();
    harness.stop().await;
}
