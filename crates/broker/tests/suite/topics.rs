//! Transient broadcasts.

use std::time::{Duration, Instant};

use bytes::Bytes;
use headway_broker::{Subscription, Topic};

use super::*;

async fn next(subscription: &mut dyn Subscription) -> Option<Bytes> {
    within(subscription.next()).await.unwrap()
}

async fn expect_nothing(subscription: &mut dyn Subscription) {
    if let Ok(heard) = tokio::time::timeout(QUIET, subscription.next()).await {
        panic!("unexpected message: {heard:?}");
    }
}

pub(crate) async fn control_reaches_every_listener(fixture: Fixture) {
    let mut first = fixture.broker.subscribe(Topic::Control, &[]).await.unwrap();
    let mut second = fixture.other.subscribe(Topic::Control, &[]).await.unwrap();
    let mut events = fixture.other.subscribe(Topic::Events, &[3]).await.unwrap();
    fixture
        .broker
        .broadcast(Topic::Control, 3, Bytes::from_static(b"cancel"))
        .await;
    for listener in [&mut first, &mut second] {
        assert_eq!(next(&mut **listener).await.as_deref(), Some(&b"cancel"[..]));
        expect_nothing(&mut **listener).await;
    }
    expect_nothing(&mut *events).await;
}

pub(crate) async fn events_reach_only_listeners_of_their_key(fixture: Fixture) {
    let mut low = fixture
        .broker
        .subscribe(Topic::Events, &[0, 1])
        .await
        .unwrap();
    let mut high = fixture
        .other
        .subscribe(Topic::Events, &[1, 255])
        .await
        .unwrap();
    let mut none = fixture.other.subscribe(Topic::Events, &[]).await.unwrap();
    for key in [0, 1, 2, 255] {
        fixture
            .broker
            .broadcast(Topic::Events, key, Bytes::from(vec![key]))
            .await;
    }
    for (listener, expected) in [(&mut low, [0, 1]), (&mut high, [1, 255])] {
        // Concurrent senders may overtake each other, one sender may not.
        for key in expected {
            assert_eq!(next(&mut **listener).await.as_deref(), Some(&[key][..]));
        }
        expect_nothing(&mut **listener).await;
    }
    expect_nothing(&mut *none).await;
}

pub(crate) async fn keys_can_be_changed(fixture: Fixture) {
    let mut listener = fixture
        .broker
        .subscribe(Topic::Events, &[1, 2])
        .await
        .unwrap();
    within(listener.set_keys(&[2, 3, 4])).await.unwrap();
    for key in 0..6 {
        fixture
            .other
            .broadcast(Topic::Events, key, Bytes::from(vec![key]))
            .await;
    }
    for key in [2, 3, 4] {
        assert_eq!(next(&mut *listener).await.as_deref(), Some(&[key][..]));
    }
    expect_nothing(&mut *listener).await;
    within(listener.set_keys(&[])).await.unwrap();
    fixture
        .other
        .broadcast(Topic::Events, 3, Bytes::from_static(b"x"))
        .await;
    expect_nothing(&mut *listener).await;
}

pub(crate) async fn a_flood_does_not_block_the_sender_and_is_admitted_to(fixture: Fixture) {
    let mut slow = fixture.broker.subscribe(Topic::Events, &[9]).await.unwrap();
    let mut marker = fixture.other.subscribe(Topic::Events, &[10]).await.unwrap();
    let begun = Instant::now();
    const SENT: u32 = 20_000;
    for number in 0..SENT {
        fixture
            .other
            .broadcast(Topic::Events, 9, Bytes::from(number.to_string()))
            .await;
    }
    assert!(begun.elapsed() < Duration::from_secs(30));
    // The listener was slow: it listens only after the last message of the flood has been passed
    // on.
    fixture
        .other
        .broadcast(Topic::Events, 10, Bytes::from_static(b"end"))
        .await;
    assert!(next(&mut *marker).await.is_some());
    let mut heard = 0;
    let mut admitted = false;
    while let Ok(message) = tokio::time::timeout(QUIET, slow.next()).await {
        match message.unwrap() {
            Some(_) => heard += 1,
            None => admitted = true,
        }
    }
    assert!(heard < SENT, "a bounded queue held everything");
    assert!(admitted, "{heard} of {SENT} arrived and nothing was said");
}
