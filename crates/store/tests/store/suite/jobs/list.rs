//! Reading jobs.

use std::collections::{BTreeMap, BTreeSet};

use headway_domain::{Error, error::Action, events::Caller, filter::JobOrder};
use headway_store::{JobFilter, StoreError};

use crate::suite::{
    Fixture, acme,
    create::accept,
    driver::{Driver, Tree, flat},
    name, name_in, new_job, task,
};

pub(crate) async fn listed(f: &Fixture, filter: &JobFilter) -> BTreeSet<String> {
    let page = f.store.list_jobs(&acme(), filter, None, 1000).await;
    let jobs = page.unwrap().jobs;
    jobs.iter()
        .map(|view| view.job.meta.name.job.to_string())
        .collect()
}

pub(crate) async fn keyset_pages(f: Fixture) {
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

pub(crate) async fn partitions_do_not_leak(f: Fixture) {
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

pub(crate) async fn revisions_of_what_exists(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let one = driver
        .begin(crate::suite::batch(), Tree::new(flat(2)))
        .await;
    let two = driver
        .begin(crate::suite::batch(), Tree::new(flat(2)))
        .await;
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

/// The ids of jobs in an order, in pages of one.
pub(crate) async fn in_order(f: &Fixture, filter: &JobFilter, order: &str) -> Vec<String> {
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

pub(crate) async fn orders(f: Fixture) {
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
