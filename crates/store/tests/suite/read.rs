//! Reading jobs.

use std::collections::{BTreeMap, BTreeSet};

use headway_domain::event::Caller;
use headway_domain::filter::{Filter, JobOrder};
use headway_domain::{Error, JobState, PartitionId, error::Action, report::ItemEvent};
use headway_store::{JobFilter, StoreError};

use super::{
    Fixture, create::accept, driver::Driver, driver::Tree, driver::flat, name, name_in, new_job,
    task,
};

fn acme() -> PartitionId {
    PartitionId::new("acme").unwrap()
}

async fn listed(f: &Fixture, filter: &JobFilter) -> BTreeSet<String> {
    let page = f.store.list_jobs(&acme(), filter, None, 1000).await;
    let jobs = page.unwrap().jobs;
    jobs.iter()
        .map(|view| view.job.meta.name.job.to_string())
        .collect()
}

pub async fn keyset_pages(f: Fixture) {
    for number in 0..25 {
        accept(&f.store, &format!("j{number}"), task("x")).await;
    }
    let (mut keys, mut below, mut sizes) = (Vec::new(), None, Vec::new());
    loop {
        let page = f
            .store
            .list_jobs(&acme(), &JobFilter::default(), below, 7)
            .await
            .unwrap();
        sizes.push(page.jobs.len());
        keys.extend(page.jobs.iter().map(|view| view.job.meta.key));
        // What is created meanwhile does not move what is yet to come.
        accept(&f.store, &format!("later-{}", sizes.len()), task("x")).await;
        below = page.next;
        if below.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [7, 7, 7, 4]);
    assert!(keys.is_sorted_by(|a, b| a > b));
    // An exact page has no successor.
    let page = f
        .store
        .list_jobs(&acme(), &JobFilter::default(), None, 29)
        .await
        .unwrap();
    assert_eq!((page.jobs.len(), page.next), (29, None));
}

pub async fn filters(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    for (job, team, stage) in [
        ("active", "blue", "test"),
        ("paused", "blue", "live"),
        ("cancelled", "red", "live"),
        ("completed", "red", "test"),
        ("failed", "blue", "live"),
    ] {
        let mut spec = task(job);
        spec.labels.insert("team".to_owned(), team.to_owned());
        spec.labels.insert("stage".to_owned(), stage.to_owned());
        let created = accept(&f.store, job, spec).await;
        if matches!(job, "completed" | "failed") {
            driver.take(created.committed);
        }
    }
    driver.pump().await;
    let tasks = driver.take_tasks();
    let failing = f.store.job(&name("failed")).await.unwrap().job.meta.uid;
    driver
        .answer(&tasks, |task| {
            if task.uid == failing {
                ItemEvent::Failed(super::failures::failure("E", "no"))
            } else {
                ItemEvent::Done
            }
        })
        .await;
    f.store
        .control_job(&name("paused"), Action::Pause, &Caller::default())
        .await
        .unwrap();
    f.store
        .control_job(&name("cancelled"), Action::Cancel, &Caller::default())
        .await
        .unwrap();

    let of = |states: &[JobState], labels: &[(&str, &str)]| JobFilter {
        states: states.to_vec(),
        labels: labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        more: None,
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let cases: [(JobFilter, BTreeSet<String>); 9] = [
        (of(&[JobState::Active], &[]), set(&["active"])),
        (of(&[JobState::Waiting], &[]), set(&[])),
        (of(&[JobState::Paused], &[]), set(&["paused"])),
        (of(&[JobState::Completed], &[]), set(&["completed"])),
        (of(&[JobState::Cancelled], &[]), set(&["cancelled"])),
        (
            of(&[JobState::Failed, JobState::Active], &[]),
            set(&["active", "failed"]),
        ),
        (
            of(&[], &[("team", "blue")]),
            set(&["active", "paused", "failed"]),
        ),
        (
            of(&[], &[("team", "blue"), ("stage", "live")]),
            set(&["paused", "failed"]),
        ),
        (
            of(
                &[JobState::Paused, JobState::Cancelled],
                &[("stage", "live"), ("team", "red")],
            ),
            set(&["cancelled"]),
        ),
    ];
    for (filter, expected) in cases {
        assert_eq!(listed(&f, &filter).await, expected, "{filter:?}");
    }
    assert!(listed(&f, &of(&[], &[("team", "green")])).await.is_empty());
}

pub async fn partitions_do_not_leak(f: Fixture) {
    accept(&f.store, "shared", task("ours")).await;
    let mut spec = task("theirs");
    spec.labels.insert("team".to_owned(), "blue".to_owned());
    for job in ["shared", "only-theirs"] {
        f.store
            .create_job(new_job(name_in("rival", job), spec.clone()))
            .await
            .unwrap();
    }
    let ours = f.store.job(&name("shared")).await.unwrap();
    assert_eq!(ours.body.as_deref(), Some(&b"ours"[..]));
    let theirs = f.store.job(&name_in("rival", "shared")).await.unwrap();
    assert_ne!(ours.job.meta.uid, theirs.job.meta.uid);

    let missing = name("only-theirs");
    let not_found = |error: StoreError| matches!(error, StoreError::Domain(Error::JobNotFound(name)) if name == missing);
    assert!(not_found(f.store.job(&missing).await.unwrap_err()));
    for action in [Action::Pause, Action::Resume, Action::Cancel, Action::Retry] {
        assert!(not_found(
            f.store
                .control_job(&missing, action, &Caller::default())
                .await
                .unwrap_err()
        ));
    }
    assert!(not_found(
        f.store
            .delete_job(&missing, &Caller::default())
            .await
            .unwrap_err()
    ));
    assert!(not_found(
        f.store
            .list_failures(&missing, &Default::default(), None, 10)
            .await
            .unwrap_err()
    ));
    assert_eq!(
        listed(&f, &JobFilter::default()).await,
        BTreeSet::from(["shared".to_owned()])
    );
    let blue = JobFilter {
        labels: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
        ..JobFilter::default()
    };
    assert!(listed(&f, &blue).await.is_empty());
    // The key of a job of another partition is only a place to continue from.
    let page = f
        .store
        .list_jobs(
            &acme(),
            &JobFilter::default(),
            Some(theirs.job.meta.key),
            10,
        )
        .await
        .unwrap();
    assert!(
        page.jobs
            .iter()
            .all(|view| view.job.meta.name.partition == acme())
    );
    f.store
        .delete_job(&name("shared"), &Caller::default())
        .await
        .unwrap();
    f.store.job(&name_in("rival", "shared")).await.unwrap();
}

pub async fn revisions_of_what_exists(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let one = driver.begin(super::batch(), Tree::new(flat(2))).await;
    let two = driver.begin(super::batch(), Tree::new(flat(2))).await;
    let unknown = headway_domain::JobUid(uuid::Uuid::new_v4());
    let uids = [one.uid, two.uid, unknown];
    let before: BTreeMap<_, _> = f
        .store
        .revisions(&uids)
        .await
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(before.len(), 2);
    driver.finish_well(&one).await;
    f.store
        .delete_job(&two.name, &Caller::default())
        .await
        .unwrap();
    let after = f.another().await.revisions(&uids).await.unwrap();
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].0, one.uid);
    assert!(after[0].1 > before[&one.uid]);
    assert_eq!(after[0].1, driver.job(&one).await.revision);
    assert!(f.store.job_state(unknown).await.unwrap().is_none());
    assert!(f.store.job_state(two.uid).await.unwrap().is_none());
}

fn like(filter: &str) -> JobFilter {
    JobFilter {
        more: Some(Filter::parse(filter).unwrap()),
        ..JobFilter::default()
    }
}

/// Every kind of restriction, alone and joined, lists and counts the same jobs.
pub async fn filters_of_clients(f: Fixture) {
    for number in 0..6 {
        let mut spec = task("x");
        spec.display_name = format!("Night run {number}");
        if number % 2 == 0 {
            spec.labels.insert("team".into(), "blue".into());
            spec.labels.insert("a:b".into(), format!("v{number}"));
        }
        accept(&f.store, &format!("j{number}"), spec).await;
    }
    let mut odd = task("x");
    odd.display_name = "100%_[a]*?\\'; DROP TABLE job; --".into();
    accept(&f.store, "odd", odd).await;
    for id in ["j0", "j1"] {
        f.store
            .control_job(&name(id), Action::Cancel, &Caller::default())
            .await
            .unwrap();
    }
    let everything = "j0 j1 j2 j3 j4 j5 odd";
    let cases = [
        ("", everything),
        ("state = CANCELLED", "j0 j1"),
        ("state != CANCELLED", "j2 j3 j4 j5 odd"),
        ("state = (CANCELLED OR ACTIVE)", everything),
        ("state = WAITING", ""),
        ("id = j3", "j3"),
        ("id = (j3 OR j4 OR nothing)", "j3 j4"),
        ("id = *d*", "odd"),
        ("id != j*", "odd"),
        ("id = J3", ""),
        ("id = j_", ""),
        ("id = j?", ""),
        ("display_name : run", "j0 j1 j2 j3 j4 j5"),
        ("display_name : RUN", ""),
        ("display_name = \"Night * 4\"", "j4"),
        ("display_name : \"%_[a]\"", "odd"),
        (
            "display_name = \"100%_[a]*?\\\\'; DROP TABLE job; --\"",
            "odd",
        ),
        ("display_name = \"' OR 1 = 1 --\"", ""),
        ("labels.team = blue", "j0 j2 j4"),
        // Those without the label are not blue either.
        ("labels.team != blue", "j1 j3 j5 odd"),
        ("labels:team", "j0 j2 j4"),
        ("NOT labels:team", "j1 j3 j5 odd"),
        ("labels.\"a:b\" = v*", "j0 j2 j4"),
        ("labels.\"a:b\" = (v2 OR v4) labels.team = blue", "j2 j4"),
        ("labels.team = blue AND state = CANCELLED", "j0"),
        ("labels.team = blue state = ACTIVE OR id = j0", "j0 j2 j4"),
        ("percentage = 0", everything),
        ("percentage > 0", ""),
        ("percentage <= 12.5 id = j1", "j1"),
        ("create_time > 2000-01-01T00:00:00Z", everything),
        ("create_time < 2000-01-01T00:00:00Z", ""),
        ("end_time > 2000-01-01T00:00:00Z", "j0 j1"),
        // A time that is not set is neither before nor after another.
        ("end_time < 2100-01-01T00:00:00Z", "j0 j1"),
        ("NOT (end_time > 2000-01-01T00:00:00Z)", "j2 j3 j4 j5 odd"),
        ("update_time >= 2000-01-01T00:00:00Z id = j5", "j5"),
        ("creator = \"\" pipe = *", ""),
        ("NOT (id = j0 OR id = j1 OR NOT id = j*)", "j2 j3 j4 j5"),
    ];
    let everyone = JobFilter::default();
    let all = f.store.list_jobs(&acme(), &everyone, None, 100).await;
    let all = all.unwrap();
    for (filter, expected) in cases {
        let expected: BTreeSet<String> = expected.split_whitespace().map(Into::into).collect();
        let filter_of = like(filter);
        assert_eq!(listed(&f, &filter_of).await, expected, "{filter}");
        let counts = f.store.count_jobs(&acme(), &filter_of).await.unwrap();
        let count: u64 = counts.iter().map(|(_, jobs)| jobs).sum();
        assert_eq!(count, expected.len() as u64, "{filter}");
        // What a watch decides of a job at hand is the same.
        let (mut matching, mut possible) = (BTreeSet::new(), BTreeSet::new());
        for view in &all.jobs {
            let id = view.job.meta.name.job.to_string();
            if filter_of.matches(&view.job) {
                matching.insert(id.clone());
            }
            if filter_of.may_have_matched(&view.job) {
                possible.insert(id);
            }
        }
        assert_eq!(matching, expected, "{filter}");
        assert!(possible.is_superset(&expected), "{filter}");
        // In every other order, a job a page.
        for order in [
            "create_time",
            "id",
            "id desc",
            "display_name",
            "display_name desc",
        ] {
            let found = in_order(&f, &filter_of, order).await;
            assert_eq!(found.len(), expected.len(), "{filter} by {order}");
            assert_eq!(
                found.into_iter().collect::<BTreeSet<_>>(),
                expected,
                "{filter} by {order}"
            );
        }
    }
    // Another partition has none of them.
    let other = PartitionId::new("other").unwrap();
    let page = f
        .store
        .list_jobs(&other, &like("id = *"), None, 10)
        .await
        .unwrap();
    assert!(page.jobs.is_empty());
}

/// The ids of jobs in an order, in pages of one.
async fn in_order(f: &Fixture, filter: &JobFilter, order: &str) -> Vec<String> {
    let order = JobOrder::parse(order).unwrap();
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let found = f
            .store
            .find_jobs(&acme(), filter, order, after.as_ref(), 1)
            .await
            .unwrap();
        ids.extend(
            found
                .jobs
                .iter()
                .map(|view| view.job.meta.name.job.to_string()),
        );
        after = found.next;
        if after.is_none() {
            return ids;
        }
    }
}

pub async fn orders(f: Fixture) {
    for (id, display) in [("b", "x"), ("C", "x"), ("a", "Y"), ("d", "")] {
        let mut spec = task("x");
        spec.display_name = display.into();
        accept(&f.store, id, spec).await;
    }
    let cases = [
        ("", "daCb"),
        ("create_time", "bCad"),
        // Texts by their bytes.
        ("id", "Cabd"),
        ("id desc", "dbaC"),
        // Ties are broken by age.
        ("display_name", "dabC"),
        ("display_name desc", "Cbad"),
    ];
    for (order, expected) in cases {
        let ids = in_order(&f, &JobFilter::default(), order).await.concat();
        assert_eq!(ids, expected, "{order}");
    }
}
