//! Jobs that wait for others, and for those that come late or are gone.

use std::time::{Duration, SystemTime};

use headway::v1::{Job, JobState, PrerequisitePolicy, PrerequisiteState};
use headway_client::{Code, JobBuilder};
use headway_tests::{
    Deployment, PATIENCE, Record, job_named, name, outcome_counts, range, request, until,
};

use crate::handlers::{quick, slow};

on_both!(
    a_chain_runs_in_order,
    a_chain_that_is_created_backwards,
    what_ended_before_counts,
    optional_ones_need_not_exist,
    many_wait_for_one,
    one_waits_for_many,
    the_root_cause_is_told,
    cancelled_and_deleted_ones_fail_what_waits,
    a_job_that_runs_anyway,
    created_while_the_other_ends,
    a_paused_job_does_not_start,
    bad_times_and_prerequisites,
);

/// A job of a few items.
pub(crate) fn small() -> JobBuilder {
    range(5, 5)
}

/// A job that fails at once.
pub(crate) fn too_late() -> JobBuilder {
    stuck().deadline_time(SystemTime::now())
}

/// Waits until all that ended was told to those that wait for it.
pub(crate) async fn nothing_owed(d: &Deployment) {
    until("nothing more to be owed", PATIENCE, || async {
        (d.store().release_tasks().await.expect("answers") == 0).then_some(())
    })
    .await;
}

/// What does not start while the test runs.
pub(crate) fn stuck() -> JobBuilder {
    small().not_before_time(SystemTime::now() + Duration::from_secs(3600))
}

pub(crate) fn waits(job: &Job) -> (JobState, i32) {
    (job.state(), job.open_prerequisite_count)
}

pub(crate) fn seconds_between(
    from: &Option<prost_types::Timestamp>,
    to: &Option<prost_types::Timestamp>,
) -> f64 {
    let seconds = |time: &Option<prost_types::Timestamp>| {
        let time = time.expect("is set");
        time.seconds as f64 + f64::from(time.nanos) / 1e9
    };
    seconds(to) - seconds(from)
}

async fn a_chain_runs_in_order(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(slow(&record, Duration::from_millis(5))));
    d.create("a", small().build()).await;
    d.create("b", small().after(job_named("a")).build()).await;
    let last = d
        .create(
            "c",
            small().after(job_named("b")).after(job_named("a")).build(),
        )
        .await;
    let last = d.finish(&last, JobState::Completed).await;
    let needed: Vec<_> = last.spec.expect("a spec").prerequisites;
    let needed: Vec<_> = needed
        .iter()
        .map(|one| (one.job.as_str(), one.state()))
        .collect();
    let (a, b) = (job_named("a"), job_named("b"));
    assert_eq!(
        needed,
        [
            (a.as_str(), PrerequisiteState::Met),
            (b.as_str(), PrerequisiteState::Met)
        ]
    );
    let mut ends = Vec::new();
    for id in ["a", "b", "c"] {
        let job = d.job(&name(id)).await;
        assert!(
            ends.last()
                .is_none_or(|end| seconds_between(end, &job.start_time) >= 0.0)
        );
        ends.push(job.end_time);
    }
}

async fn a_chain_that_is_created_backwards(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let last = d
        .create("j30", small().after(job_named("j29")).build())
        .await;
    for n in (1..30).rev() {
        let id = format!("j{n}");
        d.create(&id, small().after(job_named(format!("j{}", n - 1))).build())
            .await;
    }
    assert_eq!(waits(&d.job(&last).await), (JobState::Waiting, 1));
    assert_eq!(record.total(), 0, "nothing started early");
    d.create("j0", small().build()).await;
    d.finish(&last, JobState::Completed).await;
    assert_eq!(record.total(), 31 * 5);
}

async fn what_ended_before_counts(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let first = d.create("first", small().build()).await;
    d.finish(&first, JobState::Completed).await;
    let second = d
        .create("second", small().after(job_named("first")).build())
        .await;
    d.finish(&second, JobState::Completed).await;
    // Deleted, it is still known to have been complete.
    d.client().delete_job(&first).await.unwrap();
    let third = d
        .create("third", small().after(job_named("first")).build())
        .await;
    d.finish(&third, JobState::Completed).await;
}

async fn optional_ones_need_not_exist(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let free = d
        .create(
            "free",
            small().after_if_exists(job_named("nothing")).build(),
        )
        .await;
    d.finish(&free, JobState::Completed).await;
    let gate = d.create("gate", stuck().build()).await;
    let held = d
        .create("held", small().after_if_exists(job_named("gate")).build())
        .await;
    nothing_owed(&d).await;
    assert_eq!(waits(&d.job(&held).await), (JobState::Waiting, 1));
    d.client().cancel_job(&gate).await.unwrap();
    d.finish(&held, JobState::Failed).await;
    d.client().delete_job(&gate).await.unwrap();
    let after = d
        .create("after", small().after_if_exists(job_named("gate")).build())
        .await;
    // It is known to have been, and not to have been complete.
    d.finish(&after, JobState::Failed).await;
}

async fn many_wait_for_one(d: Deployment) {
    let record = Record::default();
    let gate = d.create("gate", small().build()).await;
    let creating = (0..600).map(|n| {
        let d = &d;
        async move {
            d.create(&format!("w{n}"), small().after(job_named("gate")).build())
                .await
        }
    });
    let waiting: Vec<_> = futures::StreamExt::collect(futures::StreamExt::buffer_unordered(
        futures::stream::iter(creating),
        32,
    ))
    .await;
    d.worker(|worker| worker.handler(quick(&record)));
    d.finish(&gate, JobState::Completed).await;
    for name in &waiting {
        d.finish(name, JobState::Completed).await;
    }
    assert_eq!(record.total(), 601 * 5);
}

async fn one_waits_for_many(d: Deployment) {
    let record = Record::default();
    let mut all = small();
    for n in 0..600 {
        // Half of them exist already.
        if n % 2 == 0 {
            d.create(&format!("p{n}"), small().build()).await;
        }
        all = all.after(job_named(format!("p{n}")));
    }
    let last = d.create("last", all.build()).await;
    d.worker(|worker| worker.handler(quick(&record)));
    for n in (1..600).step_by(2) {
        d.create(&format!("p{n}"), small().build()).await;
    }
    d.finish(&last, JobState::Completed).await;
    assert_eq!(record.total(), 601 * 5);
}

async fn the_root_cause_is_told(d: Deployment) {
    let root = d.create("root", too_late().build()).await;
    d.create("middle", small().after(job_named("root")).build())
        .await;
    let leaf = d
        .create("leaf", small().after(job_named("middle")).build())
        .await;
    d.finish(&root, JobState::Failed).await;
    let leaf_job = d.finish(&leaf, JobState::Failed).await;
    assert_eq!(outcome_counts(&leaf_job)[1], 0);
    let failures = d.failures(&leaf).await;
    assert_eq!(failures.len(), 1);
    let failure = &failures[0];
    assert_eq!(
        (failure.code.as_str(), failure.item.as_str()),
        ("PREREQUISITE_FAILED", "")
    );
    assert!(
        failure
            .message
            .starts_with("prerequisite middle failed because of job root (DEADLINE_EXCEEDED: "),
        "{}",
        failure.message
    );
    let details: serde_json::Value = serde_json::from_str(&failure.details).expect("JSON");
    assert_eq!(
        (&details["prerequisite"], &details["root"]),
        (&"middle".into(), &"root".into())
    );
    let needed = d.job(&leaf).await.spec.expect("a spec").prerequisites;
    assert_eq!(needed[0].state(), PrerequisiteState::Broken);
}

async fn cancelled_and_deleted_ones_fail_what_waits(d: Deployment) {
    let one = d.create("one", stuck().build()).await;
    let two = d.create("two", stuck().build()).await;
    let after_one = d
        .create("after-one", small().after(job_named("one")).build())
        .await;
    let after_two = d
        .create("after-two", small().after(job_named("two")).build())
        .await;
    d.client().cancel_job(&one).await.unwrap();
    d.client().delete_job(&two).await.unwrap();
    d.finish(&after_one, JobState::Failed).await;
    d.finish(&after_two, JobState::Failed).await;
    let sentence = |failures: Vec<headway::v1::Failure>| failures[0].message.clone();
    assert_eq!(
        sentence(d.failures(&after_one).await),
        "prerequisite one was cancelled"
    );
    assert_eq!(
        sentence(d.failures(&after_two).await),
        "prerequisite two was deleted before it was complete"
    );
    // Also where it was so before the other was created.
    let late = d
        .create("late", small().after(job_named("two")).build())
        .await;
    d.finish(&late, JobState::Failed).await;
}

/// Whatever became of what it needs: failed, cancelled, deleted, and deleted long before.
async fn a_job_that_runs_anyway(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let anyway = |needed: &str| {
        small()
            .after(job_named(needed))
            .on_prerequisite_failure(PrerequisitePolicy::RunAnyway)
            .build()
    };
    for id in ["cancelled", "deleted"] {
        d.create(id, stuck().build()).await;
    }
    let mut all = Vec::new();
    for needed in ["failed", "cancelled", "deleted"] {
        all.push(d.create(&format!("after-{needed}"), anyway(needed)).await);
    }
    nothing_owed(&d).await;
    for name in &all {
        assert_eq!(waits(&d.job(name).await), (JobState::Waiting, 1));
    }
    d.create("failed", too_late().build()).await;
    let client = d.client();
    client.cancel_job(&name("cancelled")).await.unwrap();
    client.delete_job(&name("deleted")).await.unwrap();
    all.push(d.create("late", anyway("deleted")).await);
    for name in &all {
        d.finish(name, JobState::Completed).await;
    }
    assert_eq!(record.total(), 4 * 5);
}

async fn created_while_the_other_ends(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let mut all = Vec::new();
    for round in 0..60 {
        let gate = format!("gate{round}");
        let (waiting, _) = tokio::join!(
            async {
                let mut waiting = Vec::new();
                for n in 0..4 {
                    let id = format!("w{round}-{n}");
                    waiting.push(
                        d.create(&id, range(1, 1).after(job_named(gate.as_str())).build())
                            .await,
                    );
                }
                waiting
            },
            d.create(&gate, range(1, 1).build()),
        );
        all.extend(waiting);
    }
    for name in all {
        d.finish(&name, JobState::Completed).await;
    }
}

async fn a_paused_job_does_not_start(d: Deployment) {
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let gate = d.create("gate", stuck().build()).await;
    let spec = small()
        .after(job_named("gate"))
        .on_prerequisite_failure(PrerequisitePolicy::RunAnyway);
    let held = d.create("held", spec.build()).await;
    let paused = d.client().pause_job(&held).await.unwrap();
    assert_eq!(waits(&paused), (JobState::Paused, 1));
    let resumed = d.client().resume_job(&held).await.unwrap();
    assert_eq!(resumed.state(), JobState::Waiting);
    d.client().pause_job(&held).await.unwrap();
    d.client().cancel_job(&gate).await.unwrap();
    let free = d
        .watch_until(&held, "it waits for nothing", |job| {
            job.open_prerequisite_count == 0
        })
        .await;
    assert_eq!((free.state(), record.total()), (JobState::Paused, 0));
    d.client().resume_job(&held).await.unwrap();
    d.finish(&held, JobState::Completed).await;
}

async fn bad_times_and_prerequisites(d: Deployment) {
    let day = Duration::from_secs(24 * 3600);
    let refused = [
        (
            small().after(job_named("no/id")),
            "spec.prerequisites[0].job",
        ),
        (
            small().after(job_named("ok")).after(job_named("")),
            "spec.prerequisites[1].job",
        ),
        (small().start_delay(367 * day), "spec.start_delay"),
        (small().max_duration(Duration::ZERO), "spec.max_duration"),
        (
            small().deadline_time(SystemTime::UNIX_EPOCH - day),
            "spec.deadline_time",
        ),
        (
            (0..10_001).fold(small(), |job, n| job.after(job_named(n.to_string()))),
            "spec.prerequisites",
        ),
    ];
    for (spec, field) in refused {
        let error = d
            .client()
            .create_job(request("bad", spec.build()))
            .await
            .unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
        let fields: Vec<_> = error
            .field_violations()
            .iter()
            .map(|one| one.field.clone())
            .collect();
        assert_eq!(fields, [field], "{error}");
    }
    let mut spec = small().build();
    spec.on_prerequisite_failure = 9;
    let error = d
        .client()
        .create_job(request("bad", spec))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("RUN_ANYWAY"), "{error}");
}
