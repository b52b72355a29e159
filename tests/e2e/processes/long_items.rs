//! Items that take long: leases, heartbeats, and workers that vanish with what they leased.

use std::time::Duration;

use headway::v1::JobState;
use headway_client::{BatchBuilder, JobBuilder, TaskBuilder};
use headway_tests::{
    BUSY, Deployment, Options, PATIENCE, Record, SECOND, blind, busy, outcome_counts, range, until,
};
use headway_worker::{Outcome, Task, TaskError};
use serde_json::json;

use crate::handlers::{number, quick};

on_both!(
    a_lease_is_renewed with short_leases,
    a_lease_ends_with_its_worker with short_leases,
    workers_that_end_hand_back_their_long_items,
    cancelling_a_leased_item with short_leases,
    lost_messages_are_sent_again with short_leases,
    messages_lost_on_a_busy_pipe_are_sent_again with on_a_busy_pipe,
    messages_lost_beside_pipes_that_cannot_be_read_are_sent_again with beside_blind_pipes,
);

fn on_a_busy_pipe(options: &mut Options) {
    // However slow the machine is, no look finds the pipe empty.
    options.wrap = busy;
    options.config.lease_after = Duration::from_millis(700);
    options.config.repair_margin = Duration::from_millis(300);
}

fn beside_blind_pipes(options: &mut Options) {
    short_leases(options);
    options.wrap = blind;
}

fn short_leases(options: &mut Options) {
    options.config.lease_after = Duration::from_secs(1);
    options.config.repair_margin = Duration::from_secs(1);
}

async fn a_lease_is_renewed(d: Deployment) {
    let record = Record::default();
    let notes = record.clone();
    d.worker(|worker| {
        worker.handler(move |task: Task| {
            let running = notes.start(&task);
            async move {
                let _running = running;
                if number(&task)? == 0 {
                    // Three leases long, and longer than silence counts as a loss.
                    tokio::time::sleep(Duration::from_millis(3500)).await;
                }
                Ok::<_, TaskError>(Outcome::done())
            }
        })
    });
    let name = d.create("long", range(20, 20).build()).await;
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [20, 20, 0, 0]);
    record.assert_each_once(20);
}

async fn a_lease_ends_with_its_worker(d: Deployment) {
    let record = Record::default();
    let notes = record.clone();
    let doomed = d.worker(|worker| {
        worker.handler(move |task: Task| {
            let running = notes.start(&task);
            async move {
                let _running = running;
                std::future::pending::<()>().await;
                Ok::<_, TaskError>(Outcome::done())
            }
        })
    });
    let name = d.create("vanish", range(3, 3).build()).await;
    let uid = d.uid(&name).await;
    // Three rows: each of the items is leased.
    until("the items to be leased", PATIENCE, || async {
        let rows = d.store().rows_of(uid).await.unwrap();
        (rows["item"] == 3).then_some(())
    })
    .await;
    doomed.crash();
    let again = Record::default();
    d.worker(|worker| worker.handler(quick(&again)));
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [3, 3, 0, 0]);
    again.assert_each_once(3);
}

async fn workers_that_end_hand_back_their_long_items(d: Deployment) {
    // The tracker's leases last for minutes: the test does not end in time if anything waits for
    // the end of one.
    let name = d.create("deploys", range(4, 4).build()).await;
    let shards = d.store().shards();
    for deploy in 0..3 {
        let record = Record::default();
        let notes = record.clone();
        let worker = d.worker(|worker| {
            let worker = worker.lease_after(Duration::from_millis(200));
            let worker = worker.drain(Duration::from_millis(50));
            worker.handler(move |task: Task| {
                let running = notes.start(&task);
                async move {
                    let _running = running;
                    if number(&task)? == 0 {
                        task.cancellation().cancelled().await;
                    } else {
                        // Ends with its process alone.
                        std::future::pending::<()>().await;
                    }
                    Err::<Outcome, _>(TaskError::retryable("STOPPED", "told to stop"))
                }
            })
        });
        until("all items to run", PATIENCE, || async {
            (record.running() == 4).then_some(())
        })
        .await;
        until("a lease", PATIENCE, || async {
            for shard in 0..shards {
                if d.store().next_due(shard).await.unwrap().lease.is_some() {
                    return Some(());
                }
            }
            None
        })
        .await;
        worker.stop();
        until("what ran to end", PATIENCE, || async {
            (record.running() == 0).then_some(())
        })
        .await;
        assert_eq!(record.total(), 4, "in deployment {deploy}");
    }
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [4, 4, 0, 0]);
    record.assert_each_once(4);
}

async fn cancelling_a_leased_item(d: Deployment) {
    let record = Record::default();
    let notes = record.clone();
    d.worker(|worker| {
        worker.handler(move |task: Task| {
            let running = notes.start(&task);
            async move {
                let _running = running;
                task.cancellation().cancelled().await;
                Err::<Outcome, _>(TaskError::retryable("STOPPED", "told to stop"))
            }
        })
    });
    let name = d.create("leased", range(2, 2).build()).await;
    let uid = d.uid(&name).await;
    until("the items to be leased", PATIENCE, || async {
        (d.store().rows_of(uid).await.unwrap()["item"] == 2).then_some(())
    })
    .await;
    d.client().cancel_job(&name).await.unwrap();
    let job = d.finish(&name, JobState::Cancelled).await;
    assert_eq!(outcome_counts(&job), [2, 0, 0, 2]);
    assert_eq!(record.running(), 0);
}

async fn messages_lost_beside_pipes_that_cannot_be_read_are_sent_again(d: Deployment) {
    // Whichever pipe is looked at first, one of these comes before the others.
    let mut others = Vec::new();
    for pipe in ["a", "z"] {
        let task = JobBuilder::new(TaskBuilder::new(pipe, "number").json(&json!(1)));
        others.push(d.create(pipe, task.build()).await);
    }
    lose_messages(&d).await;
    let done = |_: Task| async { Ok::<_, TaskError>(Outcome::done()) };
    for name in others {
        d.worker(|worker| worker.pipe(name.job()).handler(done));
        d.finish(&name, JobState::Completed).await;
    }
    // The end of the test looks at all pipes.
    let second = headway_broker::Queue::Pipe(SECOND.to_owned());
    d.broker().purge(&second).await.unwrap();
}

async fn lost_messages_are_sent_again(d: Deployment) {
    lose_messages(&d).await;
}

async fn lose_messages(d: &Deployment) {
    // Nobody works yet; what waits in the pipe is lost.
    let name = d.create("lost", range(60, 20).build()).await;
    let work = headway_broker::Queue::Pipe(headway_tests::WORK.to_owned());
    until("messages in the pipe", PATIENCE, || async {
        (d.broker().depth(&work).await.unwrap().ready >= 20).then_some(())
    })
    .await;
    d.broker().purge(&work).await.unwrap();
    let record = Record::default();
    d.worker(|worker| worker.handler(quick(&record)));
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [60, 60, 0, 0]);
    record.assert_each_once(60);
}

async fn messages_lost_on_a_busy_pipe_are_sent_again(d: Deployment) {
    // Nobody works yet. Somebody takes half of the messages, and nothing is heard of them again.
    let numbers = |to: u32, page: u32| {
        let batch = BatchBuilder::new("range").json(&json!({"from": 0, "to": to, "page": page}));
        JobBuilder::new(batch.item(BUSY, "number"))
    };
    let name = d.create("lost", numbers(20, 10).build()).await;
    let work = headway_broker::Queue::Pipe(BUSY.to_owned());
    let ready = || async { d.broker().depth(&work).await.unwrap().ready };
    until("messages in the pipe", PATIENCE, || async {
        (ready().await >= 20).then_some(())
    })
    .await;
    let mut thief = d.broker().consume(&work, 20).await.unwrap();
    let mut bodies = Vec::new();
    while bodies.len() < 20 {
        let deliveries = thief.next(20 - bodies.len()).await.unwrap();
        let tags: Vec<_> = deliveries.iter().map(|delivery| delivery.tag).collect();
        bodies.extend(deliveries.into_iter().map(|delivery| delivery.body));
        thief.acker().ack(&tags).await;
    }
    drop(thief);
    let kept = bodies.split_off(10).into_iter();
    let kept = kept.map(|body| headway_broker::Outgoing {
        queue: work.clone(),
        body,
    });
    let published = d.broker().publish(kept.collect()).await;
    assert!(published.iter().all(Result::is_ok));

    // Another job keeps the pipe busy.
    let steady = numbers(100_000, 1000).max_in_flight(400).build();
    let steady = d.create("steady", steady).await;
    until("the steady job's messages", PATIENCE, || async {
        // Its first allowance; it gets more once somebody works.
        (ready().await >= 100).then_some(())
    })
    .await;
    let record = Record::default();
    let notes = record.clone();
    let uid = d.job(&name).await.name;
    let only_first = move |task: &Task| task.job() == uid;
    d.worker(|worker| {
        worker.pipe(BUSY).handler(move |task: Task| {
            let running = only_first(&task).then(|| notes.start(&task));
            async move {
                let _running = running;
                tokio::time::sleep(Duration::from_millis(15)).await;
                Ok::<_, TaskError>(Outcome::done())
            }
        })
    });
    let job = d.finish(&name, JobState::Completed).await;
    assert_eq!(outcome_counts(&job), [20, 20, 0, 0]);
    record.assert_each_once(20);
    d.client().cancel_job(&steady).await.unwrap();
    d.finish(&steady, JobState::Cancelled).await;
}
