//! Acknowledgements, rejections, redelivery and dead letters.

use std::collections::BTreeSet;

use headway_broker::{DeliveryTag, Queue};

use super::*;

pub(crate) async fn acknowledged_messages_do_not_come_again(fixture: Fixture) {
    publish(&*fixture.broker, numbered(&pipe(), 0..300)).await;
    let mut consumer = fixture.broker.consume(&pipe(), 300).await.unwrap();
    let all = receive(&mut *consumer, 300).await;
    // In two halves, each one multiple acknowledgement.
    consumer.acker().ack(&tags(&all[..150])).await;
    consumer.acker().ack(&tags(&all[150..])).await;
    drop(consumer);
    wait_for_depth(&*fixture.broker, &pipe(), 0, 0).await;
}

pub(crate) async fn acknowledgements_behind_a_gap_take_effect(fixture: Fixture) {
    publish(&*fixture.broker, numbered(&pipe(), 0..30)).await;
    let mut consumer = fixture.broker.consume(&pipe(), 10).await.unwrap();
    let first = receive(&mut *consumer, 10).await;
    let acker = consumer.acker();
    // The oldest runs on; everything behind it is acknowledged and makes room.
    acker.ack(&tags(&first[1..])).await;
    let more = receive(&mut *consumer, 9).await;
    assert_eq!(numbers(&more), (10..19).collect::<Vec<u32>>());
    // Every second one, then the rest, out of order, with the gap closed last.
    acker
        .ack(
            &more
                .iter()
                .step_by(2)
                .map(|delivery| delivery.tag)
                .collect::<Vec<_>>(),
        )
        .await;
    acker
        .ack(
            &more
                .iter()
                .skip(1)
                .step_by(2)
                .rev()
                .map(|delivery| delivery.tag)
                .collect::<Vec<_>>(),
        )
        .await;
    acker.ack(&tags(&first[..1])).await;
    let last = receive(&mut *consumer, 10).await;
    drop(consumer);
    wait_for_depth(&*fixture.broker, &pipe(), 11, 0).await;
    let mut consumer = fixture.broker.consume(&pipe(), 20).await.unwrap();
    let left = receive(&mut *consumer, 11).await;
    let redelivered: Vec<u32> = left
        .iter()
        .filter(|delivery| delivery.redelivered)
        .map(|delivery| number(&delivery.body))
        .collect();
    assert_eq!(redelivered, numbers(&last));
}

pub(crate) async fn foreign_and_repeated_tags_are_ignored(fixture: Fixture) {
    publish(&*fixture.broker, numbered(&pipe(), 0..4)).await;
    let mut consumer = fixture.broker.consume(&pipe(), 4).await.unwrap();
    let all = receive(&mut *consumer, 4).await;
    let acker = consumer.acker();
    let foreign = DeliveryTag {
        generation: all[0].tag.generation + 7,
        ..all[0].tag
    };
    let unknown = DeliveryTag {
        number: all[3].tag.number + 1000,
        ..all[3].tag
    };
    acker.ack(&[foreign, unknown, all[0].tag, all[0].tag]).await;
    acker.ack(&[all[0].tag]).await;
    acker.reject(&[all[0].tag], true).await;
    // The consumer works on, and exactly the one message is gone.
    acker.ack(&[all[1].tag]).await;
    drop(consumer);
    acker.ack(&tags(&all)).await;
    wait_for_depth(&*fixture.broker, &pipe(), 2, 0).await;
}

pub(crate) async fn messages_of_a_lost_consumer_come_again_marked(fixture: Fixture) {
    publish(&*fixture.broker, numbered(&pipe(), 0..10)).await;
    let mut lost = fixture.broker.consume(&pipe(), 10).await.unwrap();
    let held = receive(&mut *lost, 10).await;
    lost.acker().ack(&tags(&held[..3])).await;
    let acker = lost.acker();
    drop(lost);
    let mut next = fixture.broker.consume(&pipe(), 10).await.unwrap();
    let again = receive(&mut *next, 7).await;
    assert_eq!(numbers(&again), (3..10).collect::<Vec<u32>>());
    assert!(again.iter().all(|delivery| delivery.redelivered));
    // The lost consumer's tags count for nothing now.
    acker.ack(&tags(&held)).await;
    drop(next);
    wait_for_depth(&*fixture.broker, &pipe(), 7, 0).await;
}

pub(crate) async fn rejected_messages_are_requeued_and_marked(fixture: Fixture) {
    publish(&*fixture.broker, numbered(&pipe(), 0..6)).await;
    let mut consumer = fixture.broker.consume(&pipe(), 6).await.unwrap();
    let all = receive(&mut *consumer, 6).await;
    consumer.acker().reject(&tags(&all[..3]), true).await;
    let again = receive(&mut *consumer, 3).await;
    let unique: BTreeSet<u32> = numbers(&again).into_iter().collect();
    assert_eq!(unique, (0..3).collect());
    assert!(again.iter().all(|delivery| delivery.redelivered));
}

pub(crate) async fn rejected_tasks_become_dead_letters(fixture: Fixture) {
    dead_letters_go(&fixture, &pipe(), &Queue::DeadTasks).await;
}

pub(crate) async fn rejected_reports_become_system_dead_letters(fixture: Fixture) {
    dead_letters_go(&fixture, &Queue::Reports(0), &Queue::DeadSystem).await;
    dead_letters_go(&fixture, &Queue::Batch, &Queue::DeadSystem).await;
}

async fn dead_letters_go(fixture: &Fixture, from: &Queue, to: &Queue) {
    publish(&*fixture.broker, numbered(from, 0..5)).await;
    let mut consumer = fixture.broker.consume(from, 5).await.unwrap();
    let all = receive(&mut *consumer, 5).await;
    consumer.acker().reject(&tags(&all[1..4]), false).await;
    consumer.acker().ack(&[all[0].tag, all[4].tag]).await;
    let mut dead = fixture.broker.consume(to, 10).await.unwrap();
    let letters = receive(&mut *dead, 3).await;
    assert_eq!(numbers(&letters), [1, 2, 3]);
    dead.acker().ack(&tags(&letters)).await;
    wait_for_depth(&*fixture.broker, from, 0, 1).await;
    wait_for_depth(&*fixture.broker, to, 0, 1).await;
}

pub(crate) async fn the_delivery_limit_ends_in_dead_letters(fixture: Fixture) {
    publish(&*fixture.broker, numbered(&pipe(), 0..1)).await;
    let mut consumer = fixture.broker.consume(&pipe(), 1).await.unwrap();
    let mut dead = fixture.broker.consume(&Queue::DeadTasks, 1).await.unwrap();
    let mut deliveries = 0;
    let letter = within(async {
        loop {
            tokio::select! {
                batch = consumer.next(1) => {
                    deliveries += 1;
                    consumer.acker().reject(&tags(&batch.unwrap()), true).await;
                }
                letters = dead.next(1) => return letters.unwrap(),
            }
        }
    })
    .await;
    assert_eq!(numbers(&letter), [0]);
    // Versions differ in whether the first delivery counts.
    assert!((100..=101).contains(&deliveries), "{deliveries} deliveries");
}
