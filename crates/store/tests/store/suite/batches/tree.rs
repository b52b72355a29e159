//! The tree of batches.

use headway_domain::{
    Error, JobState,
    error::Action,
    reports::{Failed, ItemEvent},
};
use headway_store::{BatchView, StoreError};

use crate::suite::{
    Fixture,
    audit::audit,
    batch,
    driver::{Driver, Node, Started, Tree, flat},
    name,
};

async fn children(f: &Fixture, job: &Started, parent: Option<u32>) -> Vec<BatchView> {
    let page = f.store.list_batches(&job.name, parent, 0, 1000).await;
    page.unwrap().batches
}

pub(crate) async fn a_tree_while_it_runs(f: Fixture) {
    // Two folders of two folders of three items each, and a deeper one.
    let leaf = Node::Batch(flat(3));
    let deep = Node::Batch(vec![Node::Batch(vec![Node::Batch(flat(2))])]);
    let middle = Node::Batch(vec![leaf.clone(), leaf]);
    let mut driver = Driver::new(&f.store);
    let job = driver
        .create(batch(), Tree::new(vec![middle.clone(), middle, deep]))
        .await;
    let root = children(&f, &job, None).await;
    assert!(
        root[0].waiting && !root[0].total_final && root[0].known == 0,
        "{root:?}"
    );
    assert_eq!(root[0].definition, b"tree");
    driver.pump().await;
    audit(&f, job.uid).await;
    let root = children(&f, &job, None).await;
    assert_eq!((root[0].known, root[0].batches, root[0].depth), (14, 3, 0));
    assert!(root[0].total_final && !root[0].waiting);
    let top = children(&f, &job, Some(1)).await;
    assert_eq!(
        top.iter().map(|batch| batch.known).collect::<Vec<_>>(),
        [6, 6, 2]
    );
    assert_eq!(top[0].definition, b"[0]");

    // Whatever order the items end in, the sums are those of the items that ended.
    let mut tasks = driver.take_tasks();
    while let Some(task) = tasks.pop() {
        let fails = task.index == 0 && task.page % 2 == 0;
        driver
            .say(
                &task,
                match fails {
                    true => ItemEvent::Failed(Failed::lasting("E", "no")),
                    false => ItemEvent::Done,
                },
            )
            .await;
        audit(&f, job.uid).await;
        tasks.extend(driver.take_tasks());
    }
    let ended = driver.job(&job).await;
    assert_eq!(ended.state(), JobState::Failed);
    let top = children(&f, &job, Some(1)).await;
    assert_eq!(
        top.iter().map(|batch| batch.failed).sum::<u64>(),
        ended.counts.failed
    );
    assert!(top.iter().all(|batch| batch.open == 0 && batch.ended));
    driver.control(&job, Action::Retry).await;
    audit(&f, job.uid).await;
    let again = children(&f, &job, Some(1)).await;
    assert_eq!(again.iter().map(|batch| batch.failed).sum::<u64>(), 0);
    driver.finish_well(&job).await;
    audit(&f, job.uid).await;
    // Two levels are kept, the deeper ones are sums.
    let top = children(&f, &job, Some(1)).await;
    assert!(
        top.iter()
            .all(|batch| batch.finished && batch.done == batch.known)
    );
    assert_eq!(top.iter().map(|batch| batch.done).sum::<u64>(), 14);
    let second = children(&f, &job, Some(top[2].number)).await;
    assert_eq!((second.len(), second[0].done, second[0].batches), (1, 2, 0));
    assert_eq!(children(&f, &job, Some(second[0].number)).await, []);
}

pub(crate) async fn batches_by_pages(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver
        .begin(batch(), Tree::new(vec![Node::Batch(flat(1)); 7]))
        .await;
    let whole = children(&f, &job, Some(1)).await;
    assert_eq!(whole.len(), 7);
    let (mut paged, mut above) = (Vec::new(), 0);
    loop {
        let page = f
            .store
            .list_batches(&job.name, Some(1), above, 3)
            .await
            .unwrap();
        paged.extend(page.batches);
        match page.next {
            Some(next) => above = next,
            None => break,
        }
    }
    assert_eq!(paged, whole);
    let unknown = f.store.list_batches(&job.name, Some(99), 0, 3).await;
    assert!(matches!(
        unknown,
        Err(StoreError::Domain(Error::BatchNotFound { number: 99, .. }))
    ));
    let nobody = f.store.list_batches(&name("nobody"), None, 0, 3).await;
    assert!(matches!(
        nobody,
        Err(StoreError::Domain(Error::JobNotFound(_)))
    ));
}
