//! Lists with rows that cannot be read: they name them apart.

use headway_domain::{JobId, PartitionId, events::Caller, filter::JobOrder};
use headway_store::{JobFilter, Position};

use crate::suite::{
    Fixture, batch,
    create::accept,
    driver::{Driver, Node, Tree, flat},
    events::{all, visible},
    task,
};

pub(crate) async fn a_row_of_a_list(f: Fixture) {
    for job in ["a", "broken", "c"] {
        accept(&f.store, job, task("x")).await;
    }
    let store = f.break_job("broken").await;
    let acme = PartitionId::new("acme").unwrap();
    let order = JobOrder::parse("id").unwrap();
    let mut after = None;
    let (mut ids, mut unreadable) = (Vec::new(), Vec::new());
    loop {
        let found = store
            .find_jobs(&acme, &JobFilter::default(), order, after.as_ref(), 1)
            .await
            .unwrap();
        ids.extend(
            found
                .jobs
                .iter()
                .map(|view| view.job.meta.name.job.to_string()),
        );
        unreadable.extend(found.unreadable);
        match found.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(ids, ["a", "c"]);
    assert_eq!(unreadable, ["broken"]);
}

pub(crate) async fn one_of_many_states(f: Fixture) {
    let mut uids = Vec::new();
    for number in 0..9 {
        let job = accept(&f.store, &format!("job-{number}"), task("x")).await;
        uids.push(job.view.job.meta.uid);
    }
    f.break_job("job-2").await;
    let store = f.break_job("job-7").await;
    let mut states = store.job_states(&uids).await.unwrap();
    states.unreadable.sort();
    let mut broken = vec![uids[2], uids[7]];
    broken.sort();
    assert_eq!(states.unreadable, broken);
    assert_eq!(states.views.len(), 7);
    // Also where what it is was read before, and how far it is cannot be read.
    let key = f.key_of("job-4").await;
    f.sql(format!(
        "UPDATE job_progress SET phase = 99 WHERE job_key = {key}"
    ))
    .await;
    let states = store.job_states(&uids[3..6]).await.unwrap();
    assert_eq!(states.unreadable, [uids[4]]);
    assert_eq!(states.views.len(), 2);
}

pub(crate) async fn an_event(f: Fixture) {
    for job in ["a", "broken", "c"] {
        accept(&f.store, job, task("x")).await;
    }
    visible(&f).await;
    // As a newer version may write it.
    f.sql("UPDATE event SET kind = 99 WHERE job_id = 'broken' AND kind = 1")
        .await;
    let (mut after, mut jobs, mut unreadable) = (Position::default(), Vec::new(), Vec::new());
    loop {
        let page = f.store.events().list(&all(), after, 1).await.unwrap();
        let names = page.events.iter().filter_map(|event| event.name.as_ref());
        jobs.extend(names.map(|name| name.job.to_string()));
        unreadable.extend(page.unreadable);
        assert!(page.next > after, "the reader goes on");
        after = page.next;
        if !page.more {
            break;
        }
    }
    assert_eq!(jobs, ["a", "a", "broken", "c", "c"]);
    assert_eq!(unreadable.len(), 1);
    assert!(unreadable[0].reason.contains("kind"), "{unreadable:?}");
}

pub(crate) async fn a_batch(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let folders = (0..3).map(|_| Node::Batch(flat(1))).collect();
    let job = driver.begin(batch(), Tree::new(folders)).await;
    let key = job.key;
    f.sql(format!(
        "UPDATE batch SET depth = -1 WHERE job_key = {key} AND number = 3"
    ))
    .await;
    let (mut above, mut numbers, mut unreadable) = (0, Vec::new(), Vec::new());
    loop {
        let page = f.store.list_batches(&job.name, Some(1), above, 1).await;
        let page = page.unwrap();
        numbers.extend(page.batches.iter().map(|batch| batch.number));
        unreadable.extend(page.unreadable);
        match page.next {
            Some(next) => above = next,
            None => break,
        }
    }
    assert_eq!((numbers, unreadable), (vec![2, 4], vec!["3".to_owned()]));
}

pub(crate) async fn a_job_type_and_a_partition(f: Fixture) {
    let caller = Caller::default();
    for id in ["a", "broken", "c"] {
        let partition = PartitionId::new(id).unwrap();
        f.store
            .partitions()
            .set_suspended(&partition, true, &caller)
            .await
            .unwrap();
        let id = JobId::new(id).unwrap();
        let made = f.store.job_types().create(&id, "{}", &caller).await;
        made.unwrap();
    }
    f.sql("UPDATE partition_setting SET weight = -1 WHERE partition_id = 'broken'")
        .await;
    f.sql("UPDATE job_type SET type_id = 'b/b' WHERE type_id = 'broken'")
        .await;
    let (mut above, mut ids, mut unreadable) = (String::new(), Vec::new(), Vec::new());
    loop {
        let page = f
            .store
            .partitions()
            .list_suspended(&above, 1)
            .await
            .unwrap();
        ids.extend(
            page.partitions
                .iter()
                .map(|view| view.partition.to_string()),
        );
        unreadable.extend(page.unreadable);
        match page.next {
            Some(next) => above = next,
            None => break,
        }
    }
    above.clear();
    loop {
        let page = f.store.job_types().list(&above, 1).await.unwrap();
        ids.extend(page.types.iter().map(|view| view.id.to_string()));
        unreadable.extend(page.unreadable);
        match page.next {
            Some(next) => above = next,
            None => break,
        }
    }
    assert_eq!(ids, ["a", "c", "a", "c"]);
    assert_eq!(unreadable, ["broken", "b/b"]);
}
