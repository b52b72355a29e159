//! Graceful ends.

use std::time::Duration;

use headway::wire::item_report::Event;
use headway::wire::{Done, Parked};
use headway_broker::Queue;
use headway_worker::{Outcome, TaskError};
use tokio::time::Instant;

use crate::broker::TestBroker;
use crate::harness::{PIPE, Puppet, Running, Tracking, single};

#[tokio::test(start_paused = true)]
async fn running_items_finish_and_waiting_ones_are_handed_back() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let (mut puppet, builder) = Puppet::new(1);
    let worker = Running::start(&broker, builder).await;
    for index in 0..20 {
        broker.send(single(index)).await;
    }
    let (task, end) = puppet.next().await;
    worker.shutdown.cancel();
    let handed_back = tracking.next(1).await;
    assert_eq!(handed_back[0].event, Event::Parked(Parked {}));
    assert!(
        tracking.within(20).await.is_empty(),
        "it waits for what runs"
    );
    assert!(!task.cancellation().is_cancelled());
    end.send(Ok(Outcome::done())).expect("waits");
    let last = tracking.next(1).await;
    assert_eq!((last[0].index, &last[0].event), (0, &Event::Done(Done {})));
    worker.stop().await;
    assert_eq!(broker.acked(), 2);
    assert_eq!(
        broker.ready(Queue::Pipe(PIPE.into())).await,
        18,
        "what was never received was not touched"
    );
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_in_time_is_cancelled_and_goes_back() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let (mut puppet, builder) = Puppet::new(2);
    let worker = Running::start(&broker, builder.drain(Duration::from_secs(7))).await;
    broker.send(single(0)).await;
    broker.send(single(1)).await;
    let (obeys, end_obeys) = puppet.next().await;
    let (_hangs, _end) = puppet.next().await;
    let begun = Instant::now();
    worker.shutdown.cancel();
    obeys.cancellation().cancelled().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(7));
    end_obeys
        .send(Err(TaskError::fatal("STOPPED", "as told")))
        .expect("waits");
    let reported = tracking.next(2).await;
    for (item, reported) in reported.iter().enumerate() {
        assert_eq!(
            (reported.index as usize, &reported.event),
            (item, &Event::Parked(Parked {})),
            "neither a failure nor a death"
        );
    }
    worker.stop().await;
    assert!(begun.elapsed() <= Duration::from_secs(7 + 5 + 1));
    assert_eq!(broker.acked(), 2);
    assert_eq!(broker.ready(Queue::Pipe(PIPE.into())).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_broker_without_confirms_does_not_hold_up_the_end() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let (mut puppet, builder) = Puppet::new(1);
    let worker = Running::start(&broker, builder).await;
    broker.send(single(0)).await;
    let (_, end) = puppet.next().await;
    broker.confirm(false);
    end.send(Ok(Outcome::done())).expect("waits");
    assert_eq!(tracking.one().await, Event::Done(Done {}));
    let begun = Instant::now();
    worker.stop().await;
    assert!(begun.elapsed() <= Duration::from_secs(6));
    assert_eq!(broker.acked(), 0);
    assert_eq!(broker.ready(Queue::Pipe(PIPE.into())).await, 1);
}
