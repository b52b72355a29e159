//! Filters of lists.

use std::collections::{BTreeMap, BTreeSet};

use headway_domain::{
    JobState, PartitionId, error::Action, events::Caller, filter::Filter, reports::ItemEvent,
};
use headway_store::JobFilter;

use crate::suite::{
    Fixture, acme,
    create::accept,
    driver::Driver,
    jobs::list::{in_order, listed},
    name, task,
};

pub(crate) async fn filters(f: Fixture) {
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
                ItemEvent::Failed(crate::suite::failures::failure("E", "no"))
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

fn like(filter: &str) -> JobFilter {
    JobFilter {
        more: Some(Filter::parse(filter).unwrap()),
        ..JobFilter::default()
    }
}

/// Every kind of restriction, alone and joined, lists and counts the same jobs.
pub(crate) async fn filters_of_clients(f: Fixture) {
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
        ("created_by = \"\" pipe = *", ""),
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
