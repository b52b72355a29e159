//! Several publishers and consumers on one queue.

use std::collections::BTreeSet;
use std::sync::Arc;

use headway_broker::Broker;
use headway_runtime::tasks;
use tokio::sync::mpsc;

use super::*;

pub(crate) async fn consumers_share(fixture: Fixture) {
    let mut consumers = Vec::new();
    for _ in 0..4 {
        consumers.push(fixture.broker.consume(&pipe(), 100).await.unwrap());
    }
    // All wait; then enough for all arrives at once.
    let (sender, mut results) = mpsc::channel(8);
    for mut consumer in consumers {
        let sender = sender.clone();
        tasks::spawn(async move {
            let first = within(consumer.next(100)).await.unwrap();
            sender.send((consumer, first)).await.unwrap();
        });
    }
    wait_for_depth(&*fixture.broker, &pipe(), 0, 4).await;
    // Nothing shows that a task has begun to wait; this is long enough on a busy machine too.
    tokio::time::sleep(3 * QUIET).await;
    publish(&*fixture.broker, numbered(&pipe(), 0..80)).await;
    // Kept, because what a dropped consumer holds is for the others.
    let mut kept = Vec::new();
    for _ in 0..4 {
        let (consumer, first) = within(results.recv()).await.unwrap();
        assert!(
            !first.is_empty() && first.len() <= 40,
            "one took {} of 80",
            first.len()
        );
        kept.push(consumer);
    }
}

pub(crate) async fn a_slow_consumer_does_not_keep_messages_from_others(fixture: Fixture) {
    let mut slow = fixture.broker.consume(&pipe(), 3).await.unwrap();
    publish(&*fixture.broker, numbered(&pipe(), 0..3)).await;
    receive(&mut *slow, 3).await;
    let mut quick = fixture.broker.consume(&pipe(), 10).await.unwrap();
    publish(&*fixture.broker, numbered(&pipe(), 3..100)).await;
    let mut seen = BTreeSet::new();
    while seen.len() < 97 {
        let batch = within(quick.next(10)).await.unwrap();
        quick.acker().ack(&tags(&batch)).await;
        seen.extend(numbers(&batch));
    }
    assert_eq!(seen, (3..100).collect());
}

pub(crate) async fn many_publishers_and_consumers_lose_nothing(fixture: Fixture) {
    const PUBLISHERS: u32 = 6;
    const EACH: u32 = 500;
    let (sender, mut received) = mpsc::channel(64);
    let mut consumers = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let mut consumer = fixture.broker.consume(&pipe(), 50).await.unwrap();
        let sender = sender.clone();
        consumers.spawn(async move {
            while let Ok(batch) = consumer.next(20).await {
                consumer.acker().ack(&tags(&batch)).await;
                if sender.send(numbers(&batch)).await.is_err() {
                    return;
                }
            }
        });
    }
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let broker: Arc<dyn Broker> = fixture.broker.clone();
        publishers.spawn(async move {
            for first in (0..EACH).step_by(25) {
                let first = publisher * EACH + first;
                publish(&*broker, numbered(&pipe(), first..first + 25)).await;
            }
        });
    }
    let mut seen = Vec::new();
    while seen.len() < (PUBLISHERS * EACH) as usize {
        seen.extend(within(received.recv()).await.unwrap());
    }
    publishers.join_all().await;
    wait_for_depth(&*fixture.broker, &pipe(), 0, 3).await;
    let unique: BTreeSet<u32> = seen.iter().copied().collect();
    assert_eq!(unique, (0..PUBLISHERS * EACH).collect());
    assert_eq!(seen.len(), unique.len());
    fixture.broker.close().await;
    consumers.join_all().await;
}
