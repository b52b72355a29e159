//! What is read around jobs: counts, many states at once, batches, history, pipes.

use std::collections::BTreeMap;

use headway_domain::{
    Error, JobState, JobUid, PartitionId, PipeName, effect::Failed, error::Action, event::Caller,
    page::Forward, report::ItemEvent, spec::Work,
};
use headway_store::{BatchView, JobFilter, PipeView, Position, StoreError};
use uuid::Uuid;

use super::{
    Fixture, PIPE,
    audit::audit,
    batch,
    create::accept,
    driver::{Driver, Node, Started, Tree, flat},
    events::visible,
    name, name_in, new_job, task,
};

fn acme() -> PartitionId {
    PartitionId::new("acme").unwrap()
}

pub async fn counts_by_state(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    for number in 0..3 {
        accept(&f.store, &format!("active-{number}"), task("x")).await;
    }
    let paused = accept(&f.store, "paused", task("x")).await;
    let pause = f
        .store
        .control_job(
            &paused.view.job.meta.name,
            Action::Pause,
            &Caller::default(),
        )
        .await;
    pause.unwrap();
    let done = driver.begin(task("x"), Tree::new(Vec::new())).await;
    driver.finish_well(&done).await;
    let other = new_job(name_in("other", "x"), task("x"));
    f.store.create_job(other).await.unwrap();
    let counts = f
        .store
        .count_jobs(&acme(), &JobFilter::default())
        .await
        .unwrap();
    let expected = [
        (JobState::Active, 3),
        (JobState::Paused, 1),
        (JobState::Completed, 1),
    ];
    assert_eq!(counts, expected);
    f.store
        .delete_job(&done.name, &Caller::default())
        .await
        .unwrap();
    assert_eq!(
        f.store
            .count_jobs(&acme(), &JobFilter::default())
            .await
            .unwrap(),
        expected[..2]
    );
    let nobody = PartitionId::new("nobody").unwrap();
    assert_eq!(
        f.store
            .count_jobs(&nobody, &JobFilter::default())
            .await
            .unwrap(),
        []
    );
}

pub async fn states_of_many_jobs(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let mut uids = Vec::new();
    for number in 0..5 {
        let job = accept(&f.store, &format!("j{number}"), task("x")).await;
        uids.push(job.view.job.meta.uid);
    }
    let failing = driver.begin(batch(), Tree::new(flat(30))).await;
    let no = |_: &_| ItemEvent::Failed(Failed::lasting("E", "no"));
    driver.finish(&failing, no).await;
    f.store
        .delete_job(&name("j3"), &Caller::default())
        .await
        .unwrap();
    let gone = uids.remove(3);
    uids.push(failing.uid);
    // Of a handle that knows them and of one that does not.
    for store in [f.store.clone(), f.another().await] {
        let mut asked = uids.clone();
        asked.extend([gone, JobUid(Uuid::from_u128(9)), uids[0]]);
        let states = store.job_states(&asked).await.unwrap().views;
        assert_eq!(states.len(), uids.len());
        for uid in &uids {
            let alone = store.job_state(*uid).await.unwrap().unwrap();
            assert_eq!(states[uid].job, alone.job);
            assert_eq!(states[uid].failures, alone.failures);
        }
        assert_eq!(states[&failing.uid].failures.len(), 10);
        assert!(store.job_states(&[]).await.unwrap().views.is_empty());
    }
}

pub async fn changed_jobs_of_a_partition(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let settled = driver.begin(task("x"), Tree::new(Vec::new())).await;
    driver.finish_well(&settled).await;
    let live = driver.begin(batch(), Tree::new(flat(3))).await;
    let other = new_job(name_in("other", "x"), task("x"));
    f.store.create_job(other).await.unwrap();
    let job = driver.job(&live).await;
    let changed = f
        .store
        .changed_jobs(&acme(), job.updated, 100)
        .await
        .unwrap();
    assert!(changed.contains(&(live.uid, job.revision)));
    assert!(changed.iter().all(|(uid, _)| *uid != settled.uid));
    let later = f
        .store
        .changed_jobs(&acme(), job.updated + 1, 100)
        .await
        .unwrap();
    assert!(later.iter().all(|(uid, _)| *uid != live.uid));
    assert_eq!(f.store.changed_jobs(&acme(), 0, 0).await.unwrap(), []);
}

pub async fn changed_partitions(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let settled = driver.begin(task("x"), Tree::new(Vec::new())).await;
    driver.finish_well(&settled).await;
    let live = new_job(name_in("live", "x"), task("x"));
    let live = f.store.create_job(live).await.unwrap().view.job;
    visible(&f).await;
    let end = f.store.events_end().await.unwrap();
    // More than a statement takes as single parameters.
    let absent = (0..40_000).map(|number| format!("absent-{number}"));
    let names = ["acme", "live"].map(str::to_owned);
    let watched: Vec<PartitionId> = names
        .into_iter()
        .chain(absent)
        .map(|name| PartitionId::new(name).unwrap())
        .collect();
    let changed = async |watched: &[PartitionId], after, since| {
        let changed = f.store.changed_partitions(watched, after, since).await;
        let changed = changed.unwrap();
        let mut names: Vec<_> = changed.partitions.iter().map(ToString::to_string).collect();
        names.sort();
        (names, changed.end)
    };
    let nothing = changed(&watched, end, live.updated + 1).await;
    assert_eq!(nothing.0, [""; 0]);
    assert!(nothing.1 >= end);
    assert_eq!(changed(&[], end, 0).await.0, [""; 0]);
    // A settled job has said everything in the audit log.
    assert_eq!(changed(&watched, end, live.updated).await.0, ["live"]);
    assert_eq!(changed(&watched, end, 0).await.0, ["live"]);

    accept(&f.store, "another", task("x")).await;
    visible(&f).await;
    let (names, next) = changed(&watched, end, i64::MAX).await;
    assert_eq!(names, ["acme"]);
    assert_eq!(changed(&watched[1..], end, i64::MAX).await.0, [""; 0]);
    assert_eq!(changed(&watched, next, i64::MAX).await.0, [""; 0]);

    let beyond = Position {
        tx: next.tx + 1_000_000,
        ..next
    };
    let expired = f.store.changed_partitions(&watched, beyond, 0).await;
    assert!(matches!(expired, Err(StoreError::CursorExpired { .. })));
    // The events between the two looks go too.
    accept(&f.store, "last", task("x")).await;
    visible(&f).await;
    while f.store.expire_events(i64::MAX).await.unwrap() {}
    let expired = f.store.changed_partitions(&watched, next, 0).await;
    assert!(matches!(expired, Err(StoreError::CursorExpired { .. })));
}

async fn children(f: &Fixture, job: &Started, parent: Option<u32>) -> Vec<BatchView> {
    let page = f.store.list_batches(&job.name, parent, 0, 1000).await;
    page.unwrap().batches
}

pub async fn a_tree_while_it_runs(f: Fixture) {
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

pub async fn batches_by_pages(f: Fixture) {
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

pub async fn history_of_progress(f: Fixture) {
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

async fn pipes(f: &Fixture, partition: &str) -> BTreeMap<String, PipeView> {
    let partition = PartitionId::new(partition).unwrap();
    let page = f.store.list_pipes(&partition, "", 100).await.unwrap();
    assert_eq!(page.next, None);
    let pipes = page.pipes.into_iter();
    pipes.map(|pipe| (pipe.pipe.clone(), pipe)).collect()
}

pub async fn pipes_of_a_partition(f: Fixture) {
    let mut driver = Driver::new(&f.store);
    let job = driver.begin(batch(), Tree::new(flat(5))).await;
    for pipe in ["a", "b", "c"] {
        let mut spec = task("x");
        if let headway_domain::spec::Work::Task(task) = &mut spec.work {
            task.pipe = headway_domain::PipeName::new(pipe).unwrap();
        }
        let partition = if pipe == "c" { "other" } else { "acme" };
        let new = new_job(name_in(partition, pipe), spec);
        f.store.create_job(new).await.unwrap();
    }
    let rates = BTreeMap::from([(PIPE.to_owned(), 12.5), ("c".to_owned(), 1.0)]);
    let owner = Uuid::from_u128(5);
    f.store
        .publish_rates(owner, &rates, 1_000_000)
        .await
        .unwrap();
    let seen = pipes(&f, "acme").await;
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["a", "b", PIPE]);
    let work = &seen[PIPE];
    assert_eq!((work.in_flight, work.jobs, work.rate), (5, 1, 12.5));
    assert_eq!((seen["a"].in_flight, seen["a"].rate), (1, 0.0));
    assert_eq!(pipes(&f, "other").await.keys().collect::<Vec<_>>(), ["c"]);
    let first = f.store.list_pipes(&acme(), "", 2).await.unwrap();
    assert_eq!(first.next.as_deref(), Some("b"));
    let rest = f.store.list_pipes(&acme(), "b", 2).await.unwrap();
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

pub async fn forwarded_items_are_at_their_pipe(f: Fixture) {
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

/// New pipes are refused beyond the bound, wherever they are named; those that no job uses are forgotten.
pub async fn no_more_pipes_than_the_bound(f: Fixture) {
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
    let unused = f.store.unused_pipes().await.unwrap();
    assert_eq!(
        unused.len(),
        998,
        "all but the pipe of a live job and that of results"
    );
    assert!(!f.store.forget_pipe(PIPE).await.unwrap());
    assert_eq!(f.store.jobs_on_pipe(PIPE).await.unwrap(), [live.key]);
    assert!(f.store.forget_pipe("p1").await.unwrap());
    let created = f
        .store
        .create_job(new_job(name("taken"), on("new", None)))
        .await;
    created.unwrap();
}
