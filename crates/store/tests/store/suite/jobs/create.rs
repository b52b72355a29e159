//! Accepting jobs.

use std::{collections::BTreeMap, collections::BTreeSet, future::poll_fn, pin::pin};

use headway_domain::{
    Error, JobState, PartitionId,
    events::Caller,
    filter::JobOrder,
    jobs::{Expiry, Phase, Retention},
    partitions::PartitionShare,
};
use headway_store::{Created, JobFilter, NewJob, OutboxKind, Store, StoreError};
use tokio::task::JoinSet;

use crate::suite::{Fixture, acme, audit::audit, batch, name, name_in, new_job, task};

/// Creates a job of partition `acme` that must be new.
pub(crate) async fn accept(
    store: &Store,
    job: &str,
    spec: headway_domain::jobs::JobSpec,
) -> Created {
    let created = store.create_job(new_job(name(job), spec)).await.unwrap();
    assert!(!created.existed);
    created
}

pub(crate) async fn a_task_is_born_released(f: Fixture) {
    let mut spec = task("all of it");
    spec.labels.insert("team".to_owned(), "blue".to_owned());
    spec.display_name = "One task".to_owned();
    let created = accept(&f.store, "one", spec.clone()).await;
    let outbox = &created.committed.outbox;
    assert_eq!(outbox.len(), 1);
    assert_eq!(outbox[0].kind, OutboxKind::Dispatch);
    assert_eq!((outbox[0].page, outbox[0].run), (1, 0));
    assert_eq!(outbox[0].indexes.iter().collect::<Vec<_>>(), [0]);
    assert_eq!(created.committed.changes.len(), 1);
    assert_eq!(f.store.outbox_len().await.unwrap(), 1);

    let view = f.store.job(&name("one")).await.unwrap();
    assert_eq!(view.job, created.view.job);
    assert_eq!(view.body.as_deref(), Some(spec.body()));
    assert_eq!(created.view.body, view.body);
    assert_eq!(view.job.state(), JobState::Active);
    assert_eq!(view.job.counts.known, 1);
    assert_eq!(view.job.meta.creator, "somebody");
    assert_eq!(view.job.revision, created.committed.changes[0].revision);
    let mut stored = view.job.meta.spec.clone();
    assert!(stored.body().is_empty());
    stored.set_body(spec.body().to_vec());
    assert_eq!(stored, spec);
    // Another process reads the same.
    let other = f.another().await.job(&name("one")).await.unwrap();
    assert_eq!(other.job, view.job);
    audit(&f, view.job.meta.uid).await;
}

pub(crate) async fn a_batch_waits_to_be_split(f: Fixture) {
    let created = accept(&f.store, "many", batch()).await;
    let outbox = &created.committed.outbox;
    assert_eq!(outbox.len(), 1);
    assert_eq!(outbox[0].kind, OutboxKind::Split);
    assert_eq!((outbox[0].page, outbox[0].attempt), (1, 0));
    assert_eq!(created.view.job.counts.known, 0);
    assert_eq!(created.view.job.counts.splitting, 1);
    audit(&f, created.view.job.meta.uid).await;
}

pub(crate) async fn the_same_id(f: Fixture) {
    let first = accept(&f.store, "same", task("x")).await;
    let again = f
        .store
        .create_job(new_job(name("same"), task("x")))
        .await
        .unwrap();
    assert!(again.existed);
    assert_eq!(again.view.job, first.view.job);
    assert_eq!(again.view.body, first.view.body);
    assert!(again.committed.outbox.is_empty());
    for other in [task("y"), batch()] {
        let refused = f.store.create_job(new_job(name("same"), other)).await;
        assert!(matches!(
            refused.unwrap_err(),
            StoreError::Domain(Error::JobExists(taken)) if taken == name("same")
        ));
    }
    assert_eq!(f.count("job").await, 1);
    assert_eq!(f.count("job_progress").await, 1);
    assert_eq!(f.store.outbox_len().await.unwrap(), 1);
}

pub(crate) async fn request_ids(f: Fixture) {
    let with = |partition: &str, job: &str, payload: &str| NewJob {
        request_id: "5f0c".to_owned(),
        ..new_job(name_in(partition, job), task(payload))
    };
    let first = f.store.create_job(with("acme", "a", "x")).await.unwrap();
    // A client that lets the server choose the id comes back with another one.
    let again = f.store.create_job(with("acme", "b", "x")).await.unwrap();
    assert!(again.existed);
    assert_eq!(again.view.job.meta.name, name("a"));
    assert_eq!(again.view.job.meta.uid, first.view.job.meta.uid);
    let refused = f.store.create_job(with("acme", "b", "y")).await;
    assert!(matches!(
        refused.unwrap_err(),
        StoreError::Domain(Error::RequestIdReused(used)) if used == name("a")
    ));
    let elsewhere = f.store.create_job(with("other", "a", "y")).await.unwrap();
    assert!(!elsewhere.existed);
    assert_eq!(f.count("job").await, 2);
}

pub(crate) async fn many_at_once(f: Fixture) {
    let stores = [f.store.clone(), f.another().await];
    let mut creating = JoinSet::new();
    for number in 0..64usize {
        let store = stores[number % 2].clone();
        // Forwards and backwards, so that two commits meet the same names in opposite order.
        let job = if number < 32 {
            number % 20
        } else {
            (63 - number) % 20
        };
        let spec = task(&job.to_string());
        creating.spawn(async move {
            let job = NewJob {
                request_id: format!("request-{job}"),
                ..new_job(name(&format!("job-{job}")), spec)
            };
            store.create_job(job).await
        });
    }
    let mut fresh = BTreeMap::new();
    let mut uids = BTreeSet::new();
    while let Some(created) = creating.join_next().await {
        let created = created.unwrap().unwrap();
        uids.insert(created.view.job.meta.uid);
        let messages = created.committed.outbox.len();
        assert_eq!(messages, usize::from(!created.existed));
        if !created.existed {
            *fresh.entry(created.view.job.meta.name.clone()).or_insert(0) += 1;
        }
    }
    assert_eq!(uids.len(), 20);
    assert_eq!(fresh.len(), 20);
    assert!(fresh.values().all(|times| *times == 1));
    for table in ["job", "job_progress", "batch", "page", "outbox"] {
        assert_eq!(f.count(table).await, 20, "{table}");
    }
}

/// Whether they share a commit or not: a name that is taken, also by another job of the group,
/// holds up no other.
pub(crate) async fn new_ones_beside_one_that_exists(f: Fixture) {
    accept(&f.store, "exists", task("x")).await;
    let names = ["exists", "new-0", "new-0", "new-1", "new-2"];
    let mut creating = JoinSet::new();
    for id in names {
        let store = f.store.clone();
        creating.spawn(async move { store.create_job(new_job(name(id), task("x"))).await });
    }
    let created = creating.join_all().await.into_iter();
    let existed = created.map(|created| created.unwrap().existed);
    assert_eq!(existed.filter(|existed| *existed).count(), 2);
    for table in ["job", "job_progress", "batch", "page", "outbox"] {
        assert_eq!(f.count(table).await, 4, "{table}");
    }
}

pub(crate) async fn one_name_and_many_specs(f: Fixture) {
    let mut creating = JoinSet::new();
    for number in 0..16 {
        let store = f.store.clone();
        creating.spawn(async move {
            let job = new_job(name("contended"), task(&number.to_string()));
            store.create_job(job).await
        });
    }
    let mut accepted = 0;
    while let Some(created) = creating.join_next().await {
        match created.unwrap() {
            Ok(created) => {
                assert!(!created.existed);
                accepted += 1;
            }
            Err(error) => assert!(matches!(error, StoreError::Domain(Error::JobExists(_)))),
        }
    }
    assert_eq!(accepted, 1);
    assert_eq!(f.count("job").await, 1);
}

/// PostgreSQL refuses U+0000 in a text; whoever shares the commit must not suffer.
pub(crate) async fn a_refused_job_is_refused_alone(f: Fixture) {
    let mut creating = JoinSet::new();
    for number in 0..16 {
        let store = f.store.clone();
        creating.spawn(async move {
            let job = NewJob {
                request_id: if number == 7 { "\0" } else { "" }.to_owned(),
                ..new_job(name(&format!("n{number}")), task("x"))
            };
            (number, store.create_job(job).await)
        });
    }
    while let Some(created) = creating.join_next().await {
        match created.unwrap() {
            (7, created) if f.is_postgres() => {
                assert!(matches!(created.unwrap_err(), StoreError::Refused(_)));
            }
            (_, created) => assert_eq!(created.unwrap().view.job.phase, Phase::Active),
        }
    }
}

/// A request that waits for its commit sleeps until it is done.
pub(crate) async fn waiting_costs_nothing(f: Fixture) {
    let mut creating = pin!(f.store.create_job(new_job(name("one"), task("x"))));
    let mut polls = 0;
    let created = poll_fn(|context| {
        polls += 1;
        creating.as_mut().poll(context)
    });
    created.await.unwrap();
    assert!(polls <= 16, "polled {polls} times");
}

/// Jobs that are created together, in whatever order their commits come, are listed by the time
/// that is shown, which has the order of the request.
pub(crate) async fn listed_by_the_time_that_is_shown(f: Fixture) {
    let mut creating = JoinSet::new();
    for (number, created) in f.store.creation_times(40).enumerate() {
        let store = f.store.clone();
        // Ids in another order than the request.
        let job = NewJob {
            created: Some(created),
            ..new_job(name(&format!("n{}", 7 * number % 40)), task("x"))
        };
        creating.spawn(async move { store.create_job(job).await.unwrap() });
    }
    while creating.join_next().await.is_some() {}
    let order = JobOrder::parse("create_time").unwrap();
    let acme = PartitionId::new("acme").unwrap();
    let found = f
        .store
        .find_jobs(&acme, &JobFilter::default(), order, None, 100)
        .await
        .unwrap();
    let listed: Vec<_> = found.jobs.iter().map(|view| &view.job.meta).collect();
    let ids: Vec<_> = listed
        .iter()
        .map(|meta| meta.name.job.to_string())
        .collect();
    let asked: Vec<_> = (0..40)
        .map(|number| format!("n{}", 7 * number % 40))
        .collect();
    assert_eq!(ids, asked);
    assert!(listed.is_sorted_by(|a, b| a.created < b.created));
}

/// Where the jobs' partition has settings, a process takes them over from the first creation after
/// a change on, also if another process changed them.
pub(crate) async fn settings_of_partitions_reach_every_process(f: Fixture) {
    let other = f.another().await;
    let (partition, caller) = (PartitionId::new("acme").unwrap(), Caller::default());
    let before = accept(&f.store, "before", task("x")).await;
    assert_eq!(before.view.job.meta.spec.retention, Retention::default());

    let retention = Retention {
        completed: Some(Expiry::Never),
        ..Retention::default()
    };
    let set = async |share: PartitionShare| {
        let partitions = other.partitions();
        let set = partitions.update(&partition, &retention, &share, None, &caller);
        set.await.unwrap();
    };
    set(PartitionShare::default()).await;
    let kept = accept(&f.store, "kept", task("x")).await;
    assert_eq!(kept.view.job.meta.spec.retention, retention);

    let suspend = async |suspended: bool| {
        let partitions = other.partitions();
        let set = partitions.set_suspended(&partition, suspended, &caller);
        set.await.unwrap();
    };
    suspend(true).await;
    let suspended = accept(&f.store, "suspended", task("x")).await;
    assert!(suspended.committed.outbox.is_empty());
    suspend(false).await;
    let released = accept(&f.store, "released", task("x")).await;
    assert_eq!(released.committed.outbox.len(), 1);

    set(PartitionShare {
        open_jobs: Some(4),
        ..PartitionShare::default()
    })
    .await;
    let refused = f.store.create_job(new_job(name("fifth"), task("x"))).await;
    assert!(matches!(
        refused.unwrap_err(),
        StoreError::Domain(Error::QuotaExceeded { limit: 4, .. })
    ));
    assert_eq!(f.count("job").await, 4);
}

/// A creation takes one statement: what the job takes over is cached, and checked by the statement
/// that inserts it.
pub(crate) async fn one_statement_for_each(f: Fixture) {
    let epoch = f.store.begin_epoch(None, uuid::Uuid::new_v4()).await;
    epoch.unwrap();
    accept(&f.store, "first", task("x")).await;
    for number in 0..3 {
        let before = f.store.statements();
        accept(&f.store, &format!("job-{number}"), task("x")).await;
        assert_eq!(f.store.statements() - before, 1);
    }
    assert_eq!(f.count("job").await, 4);
}

/// PostgreSQL gets one row, a few and many in different forms.
pub(crate) async fn rows_of_one_statement(f: Fixture) {
    for count in [1, 2, 3, 32, 33, 64] {
        let mut spec = task("x");
        let label = |number| (format!("k{number}"), format!("ü{}", "v".repeat(number)));
        spec.labels = (0..count).map(label).collect();
        let before = f.count("label").await;
        let created = accept(&f.store, &format!("labels-{count}"), spec.clone()).await;
        assert_eq!(
            f.count("label").await - before,
            i64::try_from(count).unwrap()
        );
        // No job before has all of them.
        let all = JobFilter {
            labels: spec.labels,
            ..JobFilter::default()
        };
        let found = f.store.list_jobs(&acme(), &all, None, 10).await.unwrap();
        let found: Vec<_> = found.jobs.into_iter().map(|view| view.job).collect();
        assert_eq!(found, [created.view.job]);
    }
}

/// Those that wait while two commits are under way share the next.
pub(crate) async fn jobs_of_one_commit(f: Fixture) {
    let mut creating = JoinSet::new();
    for number in 0..80u32 {
        let mut spec = task(&format!("body {number} {}", "ü".repeat(number as usize)));
        spec.display_name = format!("number {number}");
        spec.labels = [(format!("k{number}"), number.to_string())].into();
        spec.retry_policy.jitter = f64::from(number) / 100.0;
        let store = f.store.clone();
        creating.spawn(async move {
            let job = new_job(name(&format!("job-{number}")), spec.clone());
            (store.create_job(job).await.unwrap(), spec)
        });
    }
    let another = f.another().await;
    for (created, spec) in creating.join_all().await {
        let meta = &created.view.job.meta;
        let view = another.job(&meta.name).await.unwrap();
        assert_eq!(view.job, created.view.job);
        assert_eq!(view.body.as_deref(), Some(spec.body()));
        audit(&f, meta.uid).await;
    }
}
