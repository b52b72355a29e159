//! When a delivery is acknowledged, and what a redelivered one leads to.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use headway::wire::item_report::Event;
use headway::wire::{Done, Started, Suspect, TaskMessage};
use headway_broker::{Broker, Outgoing, Queue};
use headway_worker::{Outcome, Task, TaskError, Worker, WorkerBuilder};

use crate::broker::TestBroker;
use crate::harness::{PIPE, Puppet, Running, Tracking, message, single};

fn noop() -> WorkerBuilder {
    Worker::builder().handler(|_: Task| async { Ok::<_, TaskError>(Outcome::done()) })
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_before_the_confirm() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let worker = Running::start(&broker, noop()).await;
    broker.confirm(false);
    broker.send(single(0)).await;
    assert_eq!(tracking.one().await, Event::Done(Done {}));
    assert!(tracking.within(3600).await.is_empty());
    assert_eq!(
        broker.acked(),
        0,
        "the report arrived, but its confirm did not"
    );
    worker.kill().await;
    assert_eq!(
        broker.ready(Queue::Pipe(PIPE.into())).await,
        1,
        "a crash now loses nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn the_confirm_brings_the_acknowledgement() {
    let broker = TestBroker::new();
    let worker = Running::start(&broker, noop()).await;
    broker.confirm(false);
    for index in 0..5 {
        broker.send(single(index)).await;
    }
    let mut tracking = Tracking::new(&broker).await;
    tracking.next(5).await;
    assert!(tracking.within(10).await.is_empty());
    assert_eq!(broker.acked(), 0);
    broker.confirm(true);
    broker.until_acked(5).await;
    worker.stop().await;
    assert_eq!(broker.ready(Queue::Pipe(PIPE.into())).await, 0);
}

#[tokio::test(start_paused = true)]
async fn an_unconfirmed_report_is_published_again() {
    let broker = TestBroker::new();
    let worker = Running::start(&broker, noop()).await;
    broker.failures.store(20, Ordering::SeqCst);
    broker.send(single(4)).await;
    let mut tracking = Tracking::new(&broker).await;
    assert_eq!(tracking.next(1).await[0].index, 4);
    assert_eq!(broker.failures.load(Ordering::SeqCst), 0);
    broker.until_acked(1).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn siblings_are_reported_together_and_acknowledged_when_all_are() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let (mut puppet, builder) = Puppet::new(2);
    let worker = Running::start(&broker, builder).await;
    broker.send(message(3)).await;
    let (first, end_first) = puppet.next().await;
    let (second, end_second) = puppet.next().await;
    assert_eq!(
        (first.item().as_str(), second.item().as_str()),
        ("0-0", "0-1")
    );
    assert!(
        puppet.started.try_recv().is_err(),
        "no more than the concurrency run at once"
    );
    end_first.send(Ok(Outcome::done())).expect("waits");
    let (_, end_third) = puppet.next().await;
    assert_eq!(tracking.next(1).await[0].index, 0);
    end_second.send(Ok(Outcome::done())).expect("waits");
    tracking.next(1).await;
    assert!(tracking.within(10).await.is_empty());
    assert_eq!(broker.acked(), 0, "one sibling still runs");
    end_third.send(Ok(Outcome::done())).expect("waits");
    tracking.next(1).await;
    broker.until_acked(1).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_outcomes_travel_in_few_reports() {
    let broker = TestBroker::new();
    for page in 0..4 {
        broker
            .send(TaskMessage {
                page,
                ..message(500)
            })
            .await;
    }
    let mut tracking = Tracking::new(&broker).await;
    let worker = Running::start(&broker, noop()).await;
    let reported = tracking.next(2000).await;
    let distinct: HashSet<_> = reported.iter().map(|one| (one.page, one.index)).collect();
    assert_eq!(distinct.len(), 2000);
    assert!(
        tracking.reports.len() <= 10,
        "{} reports",
        tracking.reports.len()
    );
    for report in &tracking.reports {
        let pages: HashSet<_> = report.pages.iter().map(|page| page.page).collect();
        assert_eq!(pages.len(), report.pages.len(), "one entry for each page");
        assert_eq!(report.worker, "w");
    }
    broker.until_acked(4).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_redelivered_item_is_not_run_but_suspected() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    broker.send(message(2)).await;
    broker.lose_a_consumer().await;
    let (mut puppet, builder) = Puppet::new(2);
    let worker = Running::start(&broker, builder).await;
    let reported = tracking.next(2).await;
    assert!(
        reported
            .iter()
            .all(|one| one.event == Event::Suspect(Suspect {}))
    );
    broker.until_acked(1).await;
    assert!(puppet.started.try_recv().is_err());
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_announced_item_runs_once_its_start_is_confirmed() {
    for alone in [false, true] {
        runs_once_its_start_is_confirmed(alone).await;
    }
}

async fn runs_once_its_start_is_confirmed(alone: bool) {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let (mut puppet, builder) = Puppet::new(4);
    let worker = Running::start(&broker, builder).await;
    broker.confirm(false);
    let announced = TaskMessage {
        alone,
        announced: true,
        ..single(0)
    };
    broker.send(announced).await;
    assert_eq!(tracking.one().await, Event::Started(Started {}));
    assert!(tracking.within(10).await.is_empty());
    assert!(puppet.started.try_recv().is_err());
    broker.confirm(true);
    let (_, end) = puppet.next().await;
    end.send(Ok(Outcome::done())).expect("waits");
    broker.until_acked(1).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn announced_items_run_beside_others_and_only_as_many_are_announced_as_can_start() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let (mut puppet, builder) = Puppet::new(4);
    let worker = Running::start(&broker, builder).await;
    broker.send(single(0)).await;
    let (_, end_ordinary) = puppet.next().await;
    let again = TaskMessage {
        announced: true,
        page: 1,
        ..message(50)
    };
    broker.send(again).await;
    let mut ends = Vec::new();
    for _ in 0..3 {
        let (task, end) = puppet.next().await;
        assert!(task.item().starts_with("1-"));
        ends.push(end);
    }
    // Three run beside the ordinary one, and another may start as soon as one of them ends.
    assert_eq!(tracking.next(4).await[3].event, Event::Started(Started {}));
    assert!(tracking.within(10).await.is_empty());
    assert_eq!(tracking.reports.len(), 1, "one message announces them all");
    end_ordinary.send(Ok(Outcome::done())).expect("waits");
    let (task, _end) = puppet.next().await;
    assert!(task.item().starts_with("1-"));
    let reported = tracking.next(2).await;
    for event in [Event::Done(Done {}), Event::Started(Started {})] {
        assert!(
            reported.iter().any(|one| one.event == event),
            "{reported:?}"
        );
    }
    worker.kill().await;
}

#[tokio::test(start_paused = true)]
async fn an_item_runs_alone_with_all_before_it_on_record() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let (mut puppet, builder) = Puppet::new(4);
    let worker = Running::start(&broker, builder).await;
    broker.send(single(0)).await;
    let (_, end_innocent) = puppet.next().await;
    broker
        .send(TaskMessage {
            alone: true,
            announced: true,
            page: 1,
            ..message(2)
        })
        .await;
    broker.send(single(5)).await;
    let announced = TaskMessage {
        announced: true,
        ..single(6)
    };
    broker.send(announced).await;
    assert!(
        tracking.within(10).await.is_empty(),
        "it waits until nothing else runs"
    );
    broker.confirm(false);
    end_innocent.send(Ok(Outcome::done())).expect("waits");
    assert_eq!(tracking.one().await, Event::Done(Done {}));
    assert!(
        tracking.within(10).await.is_empty(),
        "it is not announced before the outcome of the other is confirmed"
    );
    broker.confirm(true);
    let (first, end_first) = puppet.next().await;
    assert_eq!(first.item(), "1-0");
    assert_eq!(tracking.one().await, Event::Started(Started {}));
    assert!(tracking.within(10).await.is_empty());
    assert!(
        puppet.started.try_recv().is_err(),
        "neither its sibling nor another item runs beside it"
    );
    broker.confirm(false);
    end_first.send(Ok(Outcome::done())).expect("waits");
    assert_eq!(tracking.one().await, Event::Done(Done {}));
    assert!(
        tracking.within(10).await.is_empty(),
        "nothing else starts before its outcome is confirmed"
    );
    assert!(puppet.started.try_recv().is_err());
    broker.confirm(true);
    // Now others have their turn, for as long as the gate was shut.
    let (mut others, mut ends) = (HashSet::new(), Vec::new());
    for _ in 0..2 {
        let (other, end) = puppet.next().await;
        others.insert(other.item());
        ends.push(end);
    }
    assert_eq!(others, HashSet::from(["0-5".into(), "0-6".into()]));
    assert_eq!(tracking.one().await, Event::Started(Started {}));
    for end in ends {
        end.send(Ok(Outcome::done())).expect("waits");
    }
    tracking.next(2).await;
    let (second, end_second) = puppet.next().await;
    assert_eq!(second.item(), "1-1");
    assert_eq!(tracking.one().await, Event::Started(Started {}));
    end_second.send(Ok(Outcome::done())).expect("waits");
    broker.until_acked(4).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_goes_to_the_dead_letters() {
    let broker = TestBroker::new();
    let worker = Running::start(&broker, noop()).await;
    let garbage = Outgoing {
        queue: Queue::Pipe(PIPE.into()),
        body: Bytes::from_static(b"\xff\xff\xff"),
    };
    broker.inner.publish(vec![garbage]).await;
    broker
        .send(TaskMessage {
            job_uid: Bytes::from_static(b"short"),
            ..single(0)
        })
        .await;
    broker.send(message(0)).await;
    broker.send(single(1)).await;
    broker.until_acked(1).await;
    assert_eq!(broker.ready(Queue::DeadTasks).await, 3);
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_broker_ends_the_worker() {
    let broker = TestBroker::new();
    let worker = Running::start(&broker, noop()).await;
    broker.close().await;
    assert!(worker.handle.await.expect("does not panic").is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_items_are_each_reported_once() {
    const ITEMS: u32 = 20_000;
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let worker = Running::start(&broker, noop()).await;
    let body = |index| Outgoing {
        queue: Queue::Pipe(PIPE.into()),
        body: prost::Message::encode_to_vec(&single(index)).into(),
    };
    let begun = std::time::Instant::now();
    broker.inner.publish((0..ITEMS).map(body).collect()).await;
    let mut seen = HashSet::new();
    for reported in tracking.next(20_000).await {
        assert!(seen.insert(reported.index), "item {} twice", reported.index);
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{:.0} items/s in {} reports",
        f64::from(ITEMS) / seconds,
        tracking.reports.len()
    );
    broker.until_acked(20_000).await;
    worker.stop().await;
}
