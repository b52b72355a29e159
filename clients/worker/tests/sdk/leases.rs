//! Long items.

use std::time::Duration;

use headway::wire::item_report::Event;
use headway::wire::{Done, Leased, Parked};
use headway_worker::Outcome;
use tokio::time::Instant;

use crate::broker::TestBroker;
use crate::harness::{Puppet, Running, Tracking, message, single};

const LEASE_AFTER: Duration = Duration::from_secs(300);

#[tokio::test(start_paused = true)]
async fn a_long_item_becomes_a_lease_that_heartbeats_renew() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let (mut puppet, builder) = Puppet::new(2);
    let worker = Running::start(&broker, builder).await;
    let begun = Instant::now();
    broker.send(message(2)).await;
    let (_, end_quick) = puppet.next().await;
    let (_, end_long) = puppet.next().await;
    end_quick.send(Ok(Outcome::done())).expect("waits");
    assert_eq!(tracking.next(1).await[0].event, Event::Done(Done {}));
    assert_eq!(broker.acked(), 0);
    broker.confirm(false);
    let leased = tracking.next(1).await;
    assert_eq!(
        (leased[0].index, &leased[0].event),
        (1, &Event::Leased(Leased {}))
    );
    let held = begun.elapsed();
    assert!(
        held >= LEASE_AFTER && held <= LEASE_AFTER.mul_f64(1.1),
        "leased after {held:?}"
    );
    assert!(tracking.within(10).await.is_empty());
    assert_eq!(broker.acked(), 0, "not before the lease is confirmed");
    broker.confirm(true);
    broker.until_acked(1).await;
    let before = tracking.heartbeats;
    let at = Instant::now();
    tracking.until_heartbeats(before + 6).await;
    let took = at.elapsed();
    assert!(
        took >= LEASE_AFTER.mul_f64(1.6) && took <= LEASE_AFTER * 2,
        "6 heartbeats in {took:?}"
    );
    assert!(
        tracking
            .reports
            .last()
            .is_some_and(|report| report.heartbeat && report.pages.is_empty())
    );
    end_long.send(Ok(Outcome::done())).expect("waits");
    assert_eq!(tracking.one().await, Event::Done(Done {}));
    assert!(tracking.within(1).await.is_empty());
    let after = tracking.heartbeats;
    assert!(tracking.within(3600).await.is_empty());
    assert_eq!(tracking.heartbeats, after, "no lease, no heartbeat");
    worker.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_waited_too_long_unstarted_is_handed_back() {
    let broker = TestBroker::new();
    let mut tracking = Tracking::new(&broker).await;
    let (mut puppet, builder) = Puppet::new(1);
    let worker = Running::start(&broker, builder).await;
    broker.send(single(0)).await;
    broker.send(single(1)).await;
    let (_, end) = puppet.next().await;
    let reported = tracking.next(2).await;
    assert_eq!(reported[0].event, Event::Leased(Leased {}));
    assert_eq!(reported[1].event, Event::Parked(Parked {}));
    broker.until_acked(2).await;
    end.send(Ok(Outcome::done())).expect("waits");
    assert_eq!(tracking.next(1).await[0].index, 0);
    assert!(puppet.started.try_recv().is_err());
    worker.stop().await;
}
