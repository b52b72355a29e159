//! Jobs that would wait for themselves.

use std::collections::BTreeMap;

use headway::v1::{
    BatchCreateJobsEntry, ChangeJobsRequest, JobAction, JobState, PrerequisitePolicy,
    RetryJobRequest,
};
use headway_client::{Code, Error, JobName};
use headway_tests::{Deployment, PATIENCE, Record, job_named, name, request, until};

use crate::{
    handlers::quick,
    prerequisites::waiting::{nothing_owed, small, stuck, waits},
};

on_both!(
    cycles_are_named,
    a_long_cycle_is_cut,
    a_retry_does_not_close_a_cycle,
    retries_that_meet,
    dependents_that_would_wait_for_themselves,
    cycles_of_many,
);

/// What is said of a cycle.
fn assert_cycle(error: &Error, job: &JobName, cycle: &str) {
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    assert_eq!(error.reason(), Some("PREREQUISITE_CYCLE"));
    assert!(error.to_string().contains(cycle), "{error}");
    let violations = error.precondition_violations();
    let violations: BTreeMap<_, _> = violations
        .iter()
        .map(|violation| (violation.r#type.as_str(), violation.subject.as_str()))
        .collect();
    assert_eq!(
        violations,
        [("PREREQUISITE_CYCLE", job.to_string().as_str())].into()
    );
}

async fn cycles_are_named(d: Deployment) {
    d.create("a", stuck().after(job_named("b")).build()).await;
    d.create("b", stuck().after(job_named("c")).build()).await;
    let closing = d
        .client()
        .create_job(request("c", stuck().after(job_named("a")).build()))
        .await;
    assert_cycle(
        &closing.unwrap_err(),
        &name("c"),
        "c needs a needs b needs c",
    );
    let own = d
        .client()
        .create_job(request("x", stuck().after(job_named("x")).build()))
        .await;
    assert_cycle(&own.unwrap_err(), &name("x"), "x needs x");
    // Two that would close a cycle together: one of them is refused.
    for round in 0..20 {
        let (p, q) = (format!("p{round}"), format!("q{round}"));
        let (one, two) = tokio::join!(
            d.client()
                .create_job(request(&p, stuck().after(job_named(q.as_str())).build())),
            d.client()
                .create_job(request(&q, stuck().after(job_named(p.as_str())).build())),
        );
        assert_eq!(
            u8::from(one.is_ok()) + u8::from(two.is_ok()),
            1,
            "round {round}"
        );
    }
    // A job that is over waits for nothing.
    d.client().cancel_job(&name("b")).await.unwrap();
    d.create("c", stuck().after(job_named("b")).build()).await;
}

async fn a_long_cycle_is_cut(d: Deployment) {
    for n in 0..40 {
        let spec = stuck().after(job_named(format!("j{}", n + 1)));
        d.create(&format!("j{n}"), spec.build()).await;
    }
    let closing = request("j40", stuck().after(job_named("j0")).build());
    let error = d.client().create_job(closing).await.unwrap_err();
    assert_cycle(&error, &name("j40"), "j40 needs j0 needs j1");
    assert!(error.to_string().contains("needs ... needs"), "{error}");
    assert!(error.to_string().contains("j39 needs j40"), "{error}");
}

/// One that ended waits for nothing, so others may wait for it that it needed; run again, it would
/// wait for them.
async fn a_retry_does_not_close_a_cycle(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let client = d.client();
    let first = d
        .create("first", stuck().after(job_named("second")).build())
        .await;
    client.cancel_job(&first).await.unwrap();
    let patient = small()
        .after(job_named("first"))
        .on_prerequisite_failure(PrerequisitePolicy::Wait);
    let second = d.create("second", patient.build()).await;
    nothing_owed(&d).await;
    for validate_only in [true, false] {
        let retry = RetryJobRequest {
            name: first.to_string(),
            validate_only,
            ..RetryJobRequest::default()
        };
        let error = client.retry_failures(retry).await.unwrap_err();
        assert_cycle(&error, &first, "first needs second needs first");
    }
    assert_eq!(d.job(&first).await.state(), JobState::Cancelled);
    assert_eq!(waits(&d.job(&second).await), (JobState::Waiting, 1));
    // As soon as the other does not wait, it may.
    client.cancel_job(&second).await.unwrap();
    client.retry_job(&first).await.unwrap();
    d.finish(&first, JobState::Failed).await;
}

/// Of two retries that would close a cycle together, one is refused.
async fn retries_that_meet(d: Deployment) {
    let client = d.client();
    let mut pairs = Vec::new();
    for round in 0..20 {
        let (p, q) = (format!("p{round}"), format!("q{round}"));
        let wait = |needed: &str| {
            stuck()
                .after(job_named(needed))
                .on_prerequisite_failure(PrerequisitePolicy::Wait)
                .build()
        };
        let p = d.create(&p, wait(&q)).await;
        client.cancel_job(&p).await.unwrap();
        let q = d.create(&q, wait(&format!("p{round}"))).await;
        client.cancel_job(&q).await.unwrap();
        d.finish(&p, JobState::Cancelled).await;
        d.finish(&q, JobState::Cancelled).await;
        pairs.push((p, q));
    }
    for (p, q) in pairs {
        let (one, two) = tokio::join!(client.retry_job(&p), client.retry_job(&q));
        assert_eq!(u8::from(one.is_ok()) + u8::from(two.is_ok()), 1, "{p}");
    }
}

/// A retry that takes its dependents along leaves those as they are that would wait for each other
/// forever.
async fn dependents_that_would_wait_for_themselves(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let client = d.client();
    let root = d.create("root", stuck().build()).await;
    let first = d
        .create(
            "first",
            small()
                .after(job_named("root"))
                .after(job_named("second"))
                .build(),
        )
        .await;
    client.cancel_job(&root).await.unwrap();
    d.finish(&first, JobState::Failed).await;
    // Each needs the other by now, and both failed because of the root, as did one that needs
    // nothing else.
    let second = d
        .create(
            "second",
            small()
                .after(job_named("root"))
                .after(job_named("first"))
                .build(),
        )
        .await;
    let other = d
        .create("other", small().after(job_named("root")).build())
        .await;
    for failed in [&second, &other] {
        d.finish(failed, JobState::Failed).await;
    }
    d.finish(&root, JobState::Cancelled).await;
    client.retry_job_with_dependents(&root).await.unwrap();
    until("the other to be complete", PATIENCE, || async {
        (d.job(&other).await.state() == JobState::Completed).then_some(())
    })
    .await;
    nothing_owed(&d).await;
    for name in [&first, &second] {
        assert_eq!(d.finish(name, JobState::Failed).await.run, 0, "{name}");
    }
}

async fn cycles_of_many(d: Deployment) {
    let waiting = |needed: &str| {
        let patient = small().on_prerequisite_failure(PrerequisitePolicy::Wait);
        patient.after(job_named(needed)).build()
    };
    let entry = |(job, needed): (&str, &str)| BatchCreateJobsEntry {
        job_id: job.to_owned(),
        spec: Some(waiting(needed)),
        ..BatchCreateJobsEntry::default()
    };
    let client = d.client();
    // Among new jobs, and by way of one that is there.
    d.create("there", waiting("y")).await;
    let entries = [
        ("a", "b"),
        ("b", "a"),
        ("x", "there"),
        ("y", "x"),
        ("z", "y"),
    ];
    let results = client
        .create_jobs("default", entries.map(entry).into())
        .await;
    let results = results.unwrap();
    let refused = results.iter().filter_map(|result| result.as_ref().err());
    let refused: Vec<_> = refused
        .map(|error| (error.code(), error.reason()))
        .collect();
    let cycle = (Code::FailedPrecondition, Some("PREREQUISITE_CYCLE"));
    assert_eq!(refused, [cycle, cycle]);
    assert!(results[4].is_ok());
    // Retried together, one of two that need each other by now stays as it is.
    let p = d.create("p", waiting("q")).await;
    client.cancel_job(&p).await.unwrap();
    let q = d.create("q", waiting("p")).await;
    client.cancel_job(&q).await.unwrap();
    let request = ChangeJobsRequest {
        action: JobAction::Retry.into(),
        parent: "partitions/default".to_owned(),
        filter: "id = p OR id = q".to_owned(),
        ..ChangeJobsRequest::default()
    };
    let answer = client.change_jobs(request).await.unwrap();
    let job: JobName = answer.job.expect("it began").name.parse().unwrap();
    d.finish(&job, JobState::Failed).await;
    let failures = d.failures(&job).await;
    let codes: Vec<&str> = failures.iter().map(|one| one.code.as_str()).collect();
    assert_eq!(codes, ["PREREQUISITE_CYCLE"]);
}
