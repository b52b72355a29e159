//! Pause, cancel and the counter rule.

use headway::wire::item_report::Event;
use headway::wire::{Discarded, Disposition, Done, Parked, ReportMessage, TaskMessage};
use headway_broker::Broker;
use headway_worker::{Outcome, TaskError};
use prost::Message;

use crate::broker::TestBroker;
use crate::harness::{Puppet, QUESTIONS, Running, Tracking, message, single};

fn at(control: u32, index: u32) -> TaskMessage {
    TaskMessage {
        control,
        ..single(index)
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_status_as_new_as_the_message_parks() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let (mut puppet, builder) = Puppet::new(4);
    let worker = Running::start(&broker, builder).await;
    broker.control(1, 5, Disposition::Park).await;
    broker.control(1, 4, Disposition::Discard).await;
    // Lets the broadcasts arrive: they and deliveries are not ordered.
    assert!(tracking.within(1).await.is_empty());
    broker.send(at(5, 0)).await;
    assert_eq!(tracking.one().await, Event::Parked(Parked {}));
    broker.send(at(6, 1)).await;
    let (resumed, end) = puppet.next().await;
    assert_eq!(
        resumed.item(),
        "0-1",
        "the message is newer than the status: it runs"
    );
    end.send(Ok(Outcome::done())).expect("waits");
    assert_eq!(tracking.one().await, Event::Done(Done {}));
    broker.until_acked(2).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_is_dropped_from_the_queue_and_stopped_where_it_runs() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let (mut puppet, builder) = Puppet::new(2);
    let worker = Running::start(&broker, builder).await;
    broker.send(message(4)).await;
    let (gives_up, end_gives_up) = puppet.next().await;
    let (finishes, end_finishes) = puppet.next().await;
    broker.control(2, 9, Disposition::Discard).await;
    assert!(tracking.within(1).await.is_empty());
    assert!(
        !gives_up.cancellation().is_cancelled(),
        "another job was cancelled"
    );
    broker.control(1, 1, Disposition::Discard).await;
    gives_up.cancellation().cancelled().await;
    finishes.cancellation().cancelled().await;
    let queued = tracking.next(2).await;
    assert_eq!(
        queued.iter().map(|one| one.index).collect::<Vec<_>>(),
        [2, 3]
    );
    assert!(
        queued
            .iter()
            .all(|one| one.event == Event::Discarded(Discarded {}))
    );
    end_gives_up
        .send(Err(TaskError::fatal("STOPPED", "as told")))
        .expect("waits");
    assert_eq!(
        tracking.one().await,
        Event::Discarded(Discarded {}),
        "its error was the cancellation"
    );
    end_finishes.send(Ok(Outcome::done())).expect("waits");
    assert_eq!(
        tracking.one().await,
        Event::Done(Done {}),
        "what is done is done"
    );
    broker.until_acked(1).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_job_finishes_what_runs() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let (mut puppet, builder) = Puppet::new(1);
    let worker = Running::start(&broker, builder).await;
    broker.send(message(2)).await;
    let (task, end) = puppet.next().await;
    broker.control(1, 1, Disposition::Park).await;
    let parked = tracking.next(1).await;
    assert_eq!(
        (parked[0].index, &parked[0].event),
        (1, &Event::Parked(Parked {}))
    );
    assert!(!task.cancellation().is_cancelled());
    end.send(Ok(Outcome::done())).expect("waits");
    assert_eq!(tracking.one().await, Event::Done(Done {}));
    broker.until_acked(1).await;
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_begins_asks_which_jobs_are_held() {
    let broker = TestBroker::new();
    let mut questions = broker.inner.consume(&QUESTIONS, 10).await.expect("is open");
    let (_puppet, builder) = Puppet::new(1);
    let worker = Running::start(&broker, builder).await;
    let asked = questions.next(10).await.expect("is open");
    assert_eq!(asked.len(), 1);
    let asked = ReportMessage::decode(asked[0].body.clone()).expect("is a report");
    assert!(asked.asks_held && asked.pages.is_empty() && !asked.heartbeat);
    worker.stop().await;
}
