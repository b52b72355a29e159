//! Retries of jobs that others wait for, and of those that waited.

use std::time::SystemTime;

use headway::v1::{JobState, PrerequisitePolicy};
use headway_tests::{Deployment, PATIENCE, Record, job_named, name, until};

use crate::{
    handlers::quick,
    prerequisites::waiting::{nothing_owed, small, stuck, too_late, waits},
};

on_both!(
    a_job_that_waits_for_a_retry,
    a_retry_takes_its_dependents_along,
    a_retry_takes_along_what_failed_because_of_it_alone,
    dependents_that_need_each_other_fail_no_second_time,
    a_retried_dependent_waits_again,
);

async fn a_job_that_waits_for_a_retry(d: Deployment) {
    let record = Record::default();
    let gate = d.create("gate", small().build()).await;
    let patient = |needed: &str| {
        small()
            .after(job_named(needed))
            .on_prerequisite_failure(PrerequisitePolicy::Wait)
    };
    let retried = d.create("retried", patient("gate").build()).await;
    d.client().cancel_job(&gate).await.unwrap();
    d.create("broken", too_late().build()).await;
    let failed = d.create("failed", patient("broken").build()).await;
    let remade = d.create("remade", patient("gone").build()).await;
    let gone = d.create("gone", stuck().build()).await;
    d.client().delete_job(&gone).await.unwrap();
    nothing_owed(&d).await;
    for name in [&retried, &remade, &failed] {
        assert_eq!(waits(&d.job(name).await), (JobState::Waiting, 1));
    }
    d.worker(|worker| worker.handler(quick(&record)));
    d.finish(&gate, JobState::Cancelled).await;
    d.client().retry_job(&gate).await.unwrap();
    d.create("gone", small().build()).await;
    d.finish(&retried, JobState::Completed).await;
    d.finish(&remade, JobState::Completed).await;
    // What failed is replaced by a job of the same name.
    d.client().delete_job(&name("broken")).await.unwrap();
    d.create("broken", small().build()).await;
    d.finish(&failed, JobState::Completed).await;
}

async fn a_retry_takes_its_dependents_along(d: Deployment) {
    let record = Record::default();
    let root = d.create("root", small().build()).await;
    let middle = d
        .create("middle", small().after(job_named("root")).build())
        .await;
    let leaf = d
        .create("leaf", small().after(job_named("middle")).build())
        .await;
    d.client().cancel_job(&root).await.unwrap();
    d.finish(&leaf, JobState::Failed).await;
    d.finish(&middle, JobState::Failed).await;
    d.worker(|worker| worker.handler(quick(&record)));
    d.finish(&root, JobState::Cancelled).await;
    d.client().retry_job_with_dependents(&root).await.unwrap();
    d.finish(&root, JobState::Completed).await;
    for name in [&middle, &leaf] {
        until("the dependents to be complete", PATIENCE, || async {
            let job = d.job(name).await;
            (job.state() == JobState::Completed).then_some(job.run)
        })
        .await;
        assert_eq!(d.job(name).await.run, 1);
        assert!(d.failures(name).await.is_empty());
    }
}

async fn a_retry_takes_along_what_failed_because_of_it_alone(d: Deployment) {
    let root = d.create("root", small().build()).await;
    let leaf = d
        .create("leaf", small().after(job_named("root")).build())
        .await;
    let unwanted = d
        .create("unwanted", small().after(job_named("root")).build())
        .await;
    let late = small()
        .after(job_named("root"))
        .deadline_time(SystemTime::now());
    let late = d.create("late", late.build()).await;
    d.client().cancel_job(&unwanted).await.unwrap();
    d.finish(&late, JobState::Failed).await;
    d.client().cancel_job(&root).await.unwrap();
    d.finish(&leaf, JobState::Failed).await;
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    d.finish(&root, JobState::Cancelled).await;
    d.client().retry_job_with_dependents(&root).await.unwrap();
    until("the dependent to be complete", PATIENCE, || async {
        (d.job(&leaf).await.state() == JobState::Completed).then_some(())
    })
    .await;
    nothing_owed(&d).await;
    for (name, state) in [(&unwanted, JobState::Cancelled), (&late, JobState::Failed)] {
        let job = d.job(name).await;
        assert_eq!((job.state(), job.run), (state, 0), "{name}");
    }
    assert_eq!(record.total(), 10);
}

async fn dependents_that_need_each_other_fail_no_second_time(d: Deployment) {
    let root = d.create("root", stuck().build()).await;
    let chain = d
        .create("chain", small().after(job_named("root")).build())
        .await;
    let end = d
        .create("end", small().after(job_named("chain")).build())
        .await;
    let both = small()
        .after(job_named("root"))
        .after(job_named("end"))
        .build();
    let both = d.create("both", both).await;
    d.client().cancel_job(&root).await.unwrap();
    for name in [&chain, &end, &both] {
        d.finish(name, JobState::Failed).await;
    }
    d.finish(&root, JobState::Cancelled).await;
    nothing_owed(&d).await;
    d.client().retry_job_with_dependents(&root).await.unwrap();
    nothing_owed(&d).await;
    for (name, open) in [(&chain, 1), (&end, 1), (&both, 2)] {
        let job = d.job(name).await;
        assert_eq!(waits(&job), (JobState::Waiting, open), "{name}");
        assert_eq!(job.run, 1, "{name}");
    }
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    d.finish(&both, JobState::Completed).await;
    assert_eq!(record.total(), 20);
}

async fn a_retried_dependent_waits_again(d: Deployment) {
    let record = Record::default();
    let root = d.create("root", small().build()).await;
    let leaf = d
        .create("leaf", small().after(job_named("root")).build())
        .await;
    d.client().cancel_job(&root).await.unwrap();
    d.finish(&leaf, JobState::Failed).await;
    // What it needs is as it was.
    let again = d.client().retry_job(&leaf).await.unwrap();
    assert_eq!(waits(&again), (JobState::Waiting, 1));
    let again = d.finish(&leaf, JobState::Failed).await;
    assert_eq!(again.run, 1);
    d.worker(|worker| worker.handler(quick(&record)));
    d.finish(&root, JobState::Cancelled).await;
    d.client().retry_job(&root).await.unwrap();
    d.finish(&root, JobState::Completed).await;
    d.client().retry_job(&leaf).await.unwrap();
    d.finish(&leaf, JobState::Completed).await;
}
