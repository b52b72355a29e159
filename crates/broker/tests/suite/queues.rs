//! Queues: confirms, prefetch, consumers that stop, queues that go.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headway_broker::{BrokerError, Depth, Outgoing, Queue};
use headway_runtime::tasks;

use super::*;

pub(crate) async fn publish_is_confirmed_and_consumed_in_order(fixture: Fixture) {
    publish(&*fixture.broker, numbered(&pipe(), 0..2500)).await;
    wait_for_depth(&*fixture.broker, &pipe(), 2500, 0).await;
    let mut consumer = fixture.broker.consume(&pipe(), 300).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2500 {
        let batch = within(consumer.next(100)).await.unwrap();
        assert!(batch.iter().all(|delivery| !delivery.redelivered));
        seen.extend(numbers(&batch));
        consumer.acker().ack(&tags(&batch)).await;
    }
    assert_eq!(seen, (0..2500).collect::<Vec<u32>>());
    wait_for_depth(&*fixture.broker, &pipe(), 0, 1).await;
}

pub(crate) async fn results_come_in_the_order_of_the_messages(fixture: Fixture) {
    let queues = [pipe(), Queue::Batch, Queue::Pipe("b".into())];
    let message = |number: usize| Outgoing {
        queue: queues[number % 3].clone(),
        body: Bytes::from(number.to_string()),
    };
    publish(&*fixture.broker, (0..99).map(message).collect()).await;
    for (index, queue) in queues.iter().enumerate() {
        let mut consumer = fixture.broker.consume(queue, 100).await.unwrap();
        let seen = numbers(&receive(&mut *consumer, 33).await);
        let expected: Vec<u32> = (0..99)
            .filter(|number| number % 3 == index as u32)
            .collect();
        assert_eq!(seen, expected);
    }
    assert!(fixture.broker.publish(Vec::new()).await.is_empty());
}

pub(crate) async fn an_oversized_message_is_refused_alone(fixture: Fixture) {
    let mut messages = numbered(&pipe(), 0..3);
    messages[1].body = Bytes::from(vec![0; headway_broker::names::MAX_MESSAGE_BYTES + 1]);
    let results = within(fixture.broker.publish(messages)).await;
    assert_eq!(results[0], Ok(()));
    assert!(matches!(results[1], Err(BrokerError::TooLarge(_))));
    assert_eq!(results[2], Ok(()));
}

pub(crate) async fn a_message_outlives_its_queue_being_deleted_under_the_publisher(
    fixture: Fixture,
) {
    publish(&*fixture.broker, numbered(&pipe(), 0..5)).await;
    // The publisher knows nothing of it and believes the queue declared.
    fixture.other.delete(&pipe()).await.unwrap();
    let mut mixed = numbered(&pipe(), 5..105);
    mixed.extend(numbered(&Queue::Batch, 0..100));
    publish(&*fixture.broker, mixed).await;
    for (queue, expected) in [(pipe(), 5..105), (Queue::Batch, 0..100)] {
        let mut consumer = fixture.broker.consume(&queue, 200).await.unwrap();
        let seen: BTreeSet<u32> = numbers(&receive(&mut *consumer, 100).await)
            .into_iter()
            .collect();
        assert_eq!(seen, expected.collect());
        expect_silence(&mut *consumer).await;
    }
}

pub(crate) async fn prefetch_bounds_what_is_out(fixture: Fixture) {
    publish(&*fixture.broker, numbered(&pipe(), 0..20)).await;
    let mut consumer = fixture.broker.consume(&pipe(), 5).await.unwrap();
    let first = receive(&mut *consumer, 5).await;
    expect_silence(&mut *consumer).await;
    consumer.acker().ack(&tags(&first[..2])).await;
    let more = receive(&mut *consumer, 2).await;
    assert_eq!(numbers(&more), [5, 6]);
    expect_silence(&mut *consumer).await;
}

pub(crate) async fn prefetch_can_be_changed_while_deliveries_are_out(fixture: Fixture) {
    publish(&*fixture.broker, numbered(&pipe(), 0..100)).await;
    let mut consumer = fixture.broker.consume(&pipe(), 4).await.unwrap();
    let mut held = receive(&mut *consumer, 2).await;
    within(consumer.set_prefetch(20)).await.unwrap();
    held.extend(receive(&mut *consumer, 18).await);
    // What was out before still counts on one broker and not on the other; either way it is
    // bounded.
    while let Ok(more) = tokio::time::timeout(QUIET, consumer.next(100)).await {
        held.extend(more.unwrap());
    }
    assert!(held.len() <= 24, "{} are out", held.len());
    let unique: BTreeSet<u32> = numbers(&held).into_iter().collect();
    assert_eq!(unique, (0..held.len() as u32).collect());
    // The tags from before the change are still good.
    consumer.acker().ack(&tags(&held)).await;
    let rest = receive_and_ack(&mut *consumer, 100 - held.len()).await;
    assert_eq!(rest.len(), 100 - held.len());
    drop(consumer);
    wait_for_depth(&*fixture.broker, &pipe(), 0, 0).await;
}

pub(crate) async fn a_new_prefetch_returns_nothing(fixture: Fixture) {
    publish(&*fixture.broker, numbered(&pipe(), 0..4000)).await;
    let mut consumer = fixture.broker.consume(&pipe(), 4).await.unwrap();
    let mut taken = 0;
    for round in 0..8 {
        // In the middle of a busy flow, upwards and downwards.
        let until = (round + 1) * 450;
        while taken < until {
            let some = within(consumer.next(50)).await.unwrap();
            let again = some.iter().filter(|delivery| delivery.redelivered);
            assert_eq!(again.count(), 0, "in round {round}");
            taken += some.len();
            consumer.acker().ack(&tags(&some)).await;
        }
        let prefetch = if round < 4 { 8 << round } else { 256 >> round };
        within(consumer.set_prefetch(prefetch)).await.unwrap();
    }
    let rest = receive_and_ack(&mut *consumer, 4000 - taken).await;
    assert!(rest.iter().all(|delivery| !delivery.redelivered));
    drop(consumer);
    wait_for_depth(&*fixture.broker, &pipe(), 0, 0).await;
}

pub(crate) async fn a_stopped_consumer_keeps_what_it_has(fixture: Fixture) {
    publish(&*fixture.broker, numbered(&pipe(), 0..10)).await;
    let mut consumer = fixture.broker.consume(&pipe(), 6).await.unwrap();
    let held = receive(&mut *consumer, 2).await;
    within(consumer.stop()).await;
    assert_eq!(
        within(consumer.next(1)).await.unwrap_err(),
        BrokerError::Closed
    );
    // What it has not handed out is for others at once, and so is what comes later.
    publish(&*fixture.broker, numbered(&pipe(), 10..12)).await;
    let mut next = fixture.broker.consume(&pipe(), 20).await.unwrap();
    let rest = receive(&mut *next, 10).await;
    assert!(
        numbers(&rest)
            .iter()
            .all(|number| !numbers(&held).contains(number))
    );
    next.acker().ack(&tags(&rest)).await;
    drop(next);
    // What it has handed out can still be acknowledged; the rest comes back when it ends.
    consumer.acker().ack(&[held[0].tag]).await;
    drop(consumer);
    wait_for_depth(&*fixture.broker, &pipe(), 1, 0).await;
}

pub(crate) async fn a_cancelled_wait_loses_nothing(fixture: Fixture) {
    let mut consumer = fixture.broker.consume(&pipe(), 1000).await.unwrap();
    let broker = fixture.broker.clone();
    let publisher = tasks::spawn(async move {
        for number in 0..200 {
            publish(&*broker, numbered(&pipe(), number..number + 1)).await;
        }
    });
    let mut seen = Vec::new();
    let begun = Instant::now();
    while seen.len() < 200 {
        assert!(begun.elapsed() < PATIENCE, "{} of 200", seen.len());
        // Given up at random moments: the wait ends before, while or after something arrives.
        let patience = Duration::from_micros(rand::random_range(0..1500));
        if let Ok(batch) = tokio::time::timeout(patience, consumer.next(7)).await {
            seen.extend(numbers(&batch.unwrap()));
        }
    }
    publisher.await.unwrap();
    assert_eq!(seen, (0..200).collect::<Vec<u32>>());
}

pub(crate) async fn a_consumer_survives_its_queue_being_deleted(fixture: Fixture) {
    publish(&*fixture.broker, numbered(&pipe(), 0..4)).await;
    let mut consumer = fixture.broker.consume(&pipe(), 2).await.unwrap();
    let held = receive(&mut *consumer, 1).await;
    fixture.other.delete(&pipe()).await.unwrap();
    let published = publish(&*fixture.broker, numbered(&pipe(), 10..12));
    let (again, ()) = tokio::join!(within(receive_numbers(&mut *consumer, 10..12)), published);
    assert_ne!(again[0].tag.generation, held[0].tag.generation);
    // The old tag means nothing to the new queue.
    consumer.acker().ack(&tags(&held)).await;
    drop(consumer);
    wait_for_depth(&*fixture.broker, &pipe(), 2, 0).await;
}

pub(crate) async fn purge_drops_what_is_ready(fixture: Fixture) {
    publish(&*fixture.broker, numbered(&pipe(), 0..10)).await;
    let mut consumer = fixture.broker.consume(&pipe(), 2).await.unwrap();
    let held = receive(&mut *consumer, 2).await;
    wait_for_depth(&*fixture.broker, &pipe(), 8, 1).await;
    fixture.broker.purge(&pipe()).await.unwrap();
    wait_for_depth(&*fixture.broker, &pipe(), 0, 1).await;
    // What is out is not ready, so it is not dropped.
    consumer.acker().reject(&tags(&held), true).await;
    receive(&mut *consumer, 2).await;
}

pub(crate) async fn an_unknown_queue_is_empty(fixture: Fixture) {
    let unknown = Queue::Pipe("nobody".into());
    assert_eq!(
        within(fixture.broker.depth(&unknown)).await,
        Ok(Depth::default())
    );
    assert_eq!(within(fixture.broker.purge(&unknown)).await, Ok(()));
    assert_eq!(within(fixture.broker.delete(&unknown)).await, Ok(()));
    assert_eq!(
        within(fixture.broker.depth(&unknown)).await,
        Ok(Depth::default())
    );
}

pub(crate) async fn the_epoch_is_remembered(fixture: Fixture) {
    assert_eq!(within(fixture.broker.has_epoch(EPOCH)).await, Ok(false));
    within(fixture.broker.plant_epoch(EPOCH)).await.unwrap();
    within(fixture.broker.plant_epoch(EPOCH)).await.unwrap();
    assert_eq!(within(fixture.other.has_epoch(EPOCH)).await, Ok(true));
    let another = uuid::Uuid::from_u128(1);
    assert_eq!(within(fixture.broker.has_epoch(another)).await, Ok(false));
    within(fixture.broker.remove_epoch(another)).await.unwrap();
    within(fixture.broker.remove_epoch(EPOCH)).await.unwrap();
    assert_eq!(within(fixture.other.has_epoch(EPOCH)).await, Ok(false));
}

pub(crate) async fn a_closed_broker_says_so(fixture: Fixture) {
    let mut consumer = fixture.broker.consume(&pipe(), 10).await.unwrap();
    let mut subscription = fixture
        .broker
        .subscribe(headway_broker::Topic::Control, &[])
        .await
        .unwrap();
    let begun = Instant::now();
    let (next, listened, ()) = tokio::join!(
        within(consumer.next(1)),
        within(subscription.next()),
        within(fixture.broker.close()),
    );
    assert!(begun.elapsed() < Duration::from_millis(5500));
    assert_eq!(next.unwrap_err(), BrokerError::Closed);
    assert_eq!(listened, Err(BrokerError::Closed));
    assert_eq!(
        within(fixture.broker.publish(numbered(&pipe(), 0..1))).await,
        [Err(BrokerError::Closed)]
    );
    assert!(matches!(
        within(fixture.broker.consume(&pipe(), 1)).await,
        Err(BrokerError::Closed)
    ));
}

/// Receives `count` deliveries and acknowledges them as they come.
async fn receive_and_ack(consumer: &mut dyn Consumer, count: usize) -> Vec<Delivery> {
    let mut received = Vec::new();
    while received.len() < count {
        let batch = within(consumer.next(count - received.len())).await.unwrap();
        consumer.acker().ack(&tags(&batch)).await;
        received.extend(batch);
    }
    received
}

/// Receives until exactly these numbers have come, which may come twice, and others before them.
async fn receive_numbers(
    consumer: &mut dyn Consumer,
    wanted: std::ops::Range<u32>,
) -> Vec<Delivery> {
    let mut missing: BTreeSet<u32> = wanted.clone().collect();
    let mut received = Vec::new();
    while !missing.is_empty() {
        for delivery in within(consumer.next(100)).await.unwrap() {
            let number = number(&delivery.body);
            missing.remove(&number);
            if wanted.contains(&number) {
                received.push(delivery);
            }
        }
    }
    received
}
