//! The history of a job's progress.

use headway_domain::{events::Caller, reports::ItemEvent};

use crate::suite::{
    Fixture, batch,
    driver::{Driver, Tree, flat},
};

pub(crate) async fn history_of_progress(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(3))).await;
    let tasks = driver.take_tasks();
    driver.say(&tasks[0], ItemEvent::Done).await;
    assert_eq!(
        f.store.job_history(&job.name).await.unwrap(),
        [],
        "it is too young"
    );
    f.sql("UPDATE job SET created = created - 5000000").await;
    f.sql("UPDATE job_progress SET rate_sampled = rate_sampled - 5000000")
        .await;
    // A handle that has not read the job yet.
    let mut driver = driver.over(&f.another().await);
    driver.say(&tasks[1], ItemEvent::Done).await;
    let history = f.store.job_history(&job.name).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(
        (history[0].done, history[0].known, history[0].in_flight),
        (2, 3, 1)
    );
    driver.say(&tasks[2], ItemEvent::Done).await;
    let history = f.store.job_history(&job.name).await.unwrap();
    assert_eq!(history.len(), 2, "the end belongs to it");
    assert_eq!((history[1].done, history[1].in_flight), (3, 0));
    assert!(history[0].time < history[1].time);
    f.store
        .delete_job(&job.name, &Caller::default())
        .await
        .unwrap();
    while f.store.collect_garbage().await.unwrap() {}
    assert_eq!(f.count("sample").await, 0);
}
