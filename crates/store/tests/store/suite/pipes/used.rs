//! Pipes: which there are, and what is on them.

use std::collections::BTreeMap;

use headway_domain::{
    Error, JobState, PartitionId, PipeName,
    batches::Forward,
    error::Action,
    events::Caller,
    jobs::Work,
    reports::{Failed, ItemEvent},
};
use headway_store::{PipeView, StoreError};
use uuid::Uuid;

use crate::suite::{
    Fixture, PIPE, acme, batch,
    driver::{Driver, Tree, flat},
    name, name_in, new_job, task,
};

async fn pipes(f: &Fixture, partition: &str) -> BTreeMap<String, PipeView> {
    let partition = PartitionId::new(partition).unwrap();
    let page = f.store.pipes().list(&partition, "", 100).await.unwrap();
    assert_eq!(page.next, None);
    let pipes = page.pipes.into_iter();
    pipes.map(|pipe| (pipe.pipe.clone(), pipe)).collect()
}

pub(crate) async fn pipes_of_a_partition(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(5))).await;
    for pipe in ["a", "b", "c"] {
        let mut spec = task("x");
        if let headway_domain::jobs::Work::Task(task) = &mut spec.work {
            task.pipe = headway_domain::PipeName::new(pipe).unwrap();
        }
        let partition = if pipe == "c" { "other" } else { "acme" };
        let new = new_job(name_in(partition, pipe), spec);
        f.store.create_job(new).await.unwrap();
    }
    let rates = BTreeMap::from([(PIPE.to_owned(), 12.5), ("c".to_owned(), 1.0)]);
    let owner = Uuid::from_u128(5);
    f.store
        .pipes()
        .publish_rates(owner, &rates, 1_000_000)
        .await
        .unwrap();
    let seen = pipes(&f, "acme").await;
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["a", "b", PIPE]);
    let work = &seen[PIPE];
    assert_eq!((work.in_flight, work.jobs, work.rate), (5, 1, 12.5));
    assert_eq!((seen["a"].in_flight, seen["a"].rate), (1, 0.0));
    assert_eq!(pipes(&f, "other").await.keys().collect::<Vec<_>>(), ["c"]);
    let first = f.store.pipes().list(&acme(), "", 2).await.unwrap();
    assert_eq!(first.next.as_deref(), Some("b"));
    let rest = f.store.pipes().list(&acme(), "b", 2).await.unwrap();
    assert_eq!((rest.pipes.len(), rest.next), (1, None));

    let tasks = driver.take_tasks();
    let dead = Failed::lasting("DEAD_LETTERED", "gone");
    driver.say(&tasks[0], ItemEvent::Failed(dead)).await;
    let again = Failed {
        retryable: true,
        ..Failed::lasting("E", "later")
    };
    driver.say(&tasks[1], ItemEvent::Failed(again)).await;
    driver.control(&job, Action::Pause).await;
    driver.say(&tasks[2], ItemEvent::Parked).await;
    let work = &pipes(&f, "acme").await[PIPE];
    assert_eq!(
        (work.dead_letters, work.delayed, work.parked, work.in_flight),
        (1, 1, 1, 2)
    );
    f.store
        .delete_job(&job.name, &Caller::default())
        .await
        .unwrap();
    let work = &pipes(&f, "acme").await[PIPE];
    assert_eq!((work.dead_letters, work.in_flight, work.jobs), (0, 0, 0));
}

pub(crate) async fn forwarded_items_are_at_their_pipe(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    driver.begin(batch(), Tree::new(flat(4))).await;
    let tasks = driver.take_tasks();
    let forward = Forward {
        pipe: "next".to_owned(),
        task_type: String::new(),
        payload: Vec::new(),
        content_type: String::new(),
    };
    for task in &tasks[..3] {
        driver.say(task, ItemEvent::Forward(forward.clone())).await;
    }
    let seen = pipes(&f, "acme").await;
    assert_eq!((seen[PIPE].in_flight, seen["next"].in_flight), (1, 3));
    assert_eq!((seen[PIPE].jobs, seen["next"].jobs), (1, 0));
}

/// New pipes are refused beyond the bound, wherever they are named; those that no job uses are
/// forgotten.
pub(crate) async fn no_more_pipes_than_the_bound(f: Fixture) {
    let fill = "INSERT INTO pipe (partition_id, name) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999) \
                SELECT 'other', 'p' || i FROM n";
    f.sql(fill).await;
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(task("x"), Tree::new(Vec::new())).await;
    let on = |pipe: &str, results: Option<&str>| {
        let mut spec = task("x");
        if let Work::Task(task) = &mut spec.work {
            task.pipe = PipeName::new(pipe).unwrap();
        }
        spec.result_pipe = results.map(|pipe| PipeName::new(pipe).unwrap());
        spec
    };
    for (pipe, results) in [("new", None), (PIPE, Some("new"))] {
        let refused = f
            .store
            .create_job(new_job(name("refused"), on(pipe, results)))
            .await;
        let Err(StoreError::Domain(Error::TooManyPipes { pipe, limit })) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!((pipe.as_str(), limit), ("new", 1000));
    }
    let tasks = driver.take_tasks();
    let forward = ItemEvent::Forward(Forward {
        pipe: "new".to_owned(),
        task_type: String::new(),
        payload: Vec::new(),
        content_type: String::new(),
    });
    driver.say(&tasks[0], forward).await;
    let failed = driver.job(&job).await;
    assert_eq!(
        (failed.state(), failed.counts.failed),
        (JobState::Failed, 1)
    );

    let live = driver
        .begin(on(PIPE, Some("p2")), Tree::new(Vec::new()))
        .await;
    let unused = f.store.pipes().unused().await.unwrap();
    assert_eq!(
        unused.len(),
        998,
        "all but the pipe of a live job and that of results"
    );
    assert!(!f.store.pipes().forget(PIPE).await.unwrap());
    assert_eq!(f.store.pipes().jobs_on(PIPE).await.unwrap(), [live.key]);
    assert!(f.store.pipes().forget("p1").await.unwrap());
    let created = f
        .store
        .create_job(new_job(name("taken"), on("new", None)))
        .await;
    created.unwrap();
}
