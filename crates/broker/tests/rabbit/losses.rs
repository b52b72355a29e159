//! Lost connections: nothing confirmed is lost, nothing is doubled without a mark, and everything
//! is repaired, prefetch included.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headway_broker::{Broker, BrokerError, Outgoing, Queue, RabbitBroker, Topic};
use headway_runtime::tasks;

use crate::proxy::Proxy;
use crate::setup::{Setup, run};
use crate::suite::*;

/// Cuts all connections some times, each time a moment after the broker has both of its own again.
/// Only some, because the pauses between repairs grow while they come in quick turns.
fn cut_repeatedly(
    proxy: Arc<Proxy>,
    broker: RabbitBroker,
    times: u32,
) -> tokio::task::JoinHandle<()> {
    tasks::spawn(async move {
        let mut connections = 2;
        for _ in 0..times {
            while proxy.accepted() < connections || !broker.is_ready() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            connections = proxy.accepted() + 2;
            tokio::time::sleep(Duration::from_millis(rand::random_range(10..150))).await;
            proxy.cut();
        }
    })
}

/// Publishes messages, each again until it is confirmed. Returns how often each was tried.
async fn publish_until_confirmed(
    broker: &dyn Broker,
    messages: Vec<Outgoing>,
) -> BTreeMap<u32, u32> {
    let mut tries = BTreeMap::new();
    let mut todo = messages;
    while !todo.is_empty() {
        for message in &todo {
            *tries.entry(number(&message.body)).or_insert(0) += 1;
        }
        let results = within(broker.publish(todo.clone())).await;
        assert_eq!(results.len(), todo.len());
        let failed = todo
            .into_iter()
            .zip(results)
            .filter_map(|(message, result)| match result {
                Ok(()) => None,
                Err(BrokerError::Unavailable(_)) => Some(message),
                Err(error) => panic!("{error}"),
            });
        todo = failed.collect();
    }
    tries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_while_publishing_loses_and_doubles_nothing_confirmed() {
    run(|setup: Setup| async move {
        const COUNT: u32 = 6000;
        let (proxy, config) = setup.through_proxy().await;
        let proxy = Arc::new(proxy);
        let publisher = RabbitBroker::connect(config).await.unwrap();
        let cutting = cut_repeatedly(proxy.clone(), publisher.clone(), 6);
        let mut tries = BTreeMap::new();
        let begun = Instant::now();
        let mut first = 0;
        while first < COUNT || !cutting.is_finished() {
            assert!(begun.elapsed() < 3 * PATIENCE, "not done in time");
            tries.extend(
                publish_until_confirmed(&publisher, numbered(&pipe(), first..first + 200)).await,
            );
            first += 200;
        }
        within(cutting).await.unwrap();
        let broker = setup.broker().await;
        let mut consumer = broker.consume(&pipe(), 1000).await.unwrap();
        let mut copies: BTreeMap<u32, u32> = BTreeMap::new();
        while let Ok(batch) = tokio::time::timeout(3 * QUIET, consumer.next(500)).await {
            let batch = batch.unwrap();
            consumer.acker().ack(&tags(&batch)).await;
            for number in numbers(&batch) {
                *copies.entry(number).or_insert(0) += 1;
            }
        }
        assert_eq!(copies.len(), first as usize, "something confirmed was lost");
        for (number, copies) in &copies {
            assert!(
                *copies <= tries[number],
                "{number} came {copies} times in {} tries",
                tries[number]
            );
        }
        assert!(
            tries.values().any(|tries| *tries > 1),
            "no cut hit a publish"
        );
        publisher.close().await;
        broker.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_while_consuming_loses_nothing_and_marks_what_comes_twice() {
    run(|setup: Setup| async move {
        const COUNT: u32 = 3000;
        let broker = setup.broker().await;
        publish(&*broker, numbered(&pipe(), 0..COUNT)).await;
        let (proxy, config) = setup.through_proxy().await;
        let proxy = Arc::new(proxy);
        let lossy = RabbitBroker::connect(config).await.unwrap();
        let mut consumer = lossy.consume(&pipe(), 200).await.unwrap();
        let cutting = cut_repeatedly(proxy.clone(), lossy.clone(), 5);
        let mut copies: BTreeMap<u32, u32> = BTreeMap::new();
        let mut generations = std::collections::BTreeSet::new();
        let begun = Instant::now();
        while copies.len() < COUNT as usize {
            assert!(
                begun.elapsed() < 3 * PATIENCE,
                "{} of {COUNT} in time",
                copies.len()
            );
            let batch = within(consumer.next(20)).await.unwrap();
            for delivery in &batch {
                let seen = copies.entry(number(&delivery.body)).or_insert(0);
                assert!(
                    *seen == 0 || delivery.redelivered,
                    "a second copy without a mark"
                );
                *seen += 1;
                generations.insert(delivery.tag.generation);
            }
            consumer.acker().ack(&tags(&batch)).await;
            // A worker takes its time; without it the cuts would hit nothing.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        within(cutting).await.unwrap();
        assert!(
            generations.len() >= 3,
            "only {} generations",
            generations.len()
        );
        drop(consumer);
        lossy.close().await;
        // What was acknowledged on the last connections may not have reached the broker: it comes
        // again, and nothing else.
        let mut consumer = broker.consume(&pipe(), 1000).await.unwrap();
        while let Ok(batch) = tokio::time::timeout(3 * QUIET, consumer.next(500)).await {
            let batch = batch.unwrap();
            assert!(batch.iter().all(|delivery| delivery.redelivered));
            consumer.acker().ack(&tags(&batch)).await;
        }
        wait_for_depth(&*broker, &pipe(), 0, 1).await;
        broker.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_prefetch_is_restored_after_a_loss_and_old_tags_are_ignored() {
    run(|setup: Setup| async move {
        let (proxy, config) = setup.through_proxy().await;
        let broker = RabbitBroker::connect(config).await.unwrap();
        publish(&broker, numbered(&pipe(), 0..50)).await;
        let mut consumer = broker.consume(&pipe(), 9).await.unwrap();
        within(consumer.set_prefetch(5)).await.unwrap();
        let mut before = Vec::new();
        while let Ok(batch) = tokio::time::timeout(QUIET, consumer.next(100)).await {
            before.extend(batch.unwrap());
        }
        assert!((5..=14).contains(&before.len()), "{} are out", before.len());
        for _ in 0..2 {
            proxy.cut();
            let after = receive(&mut *consumer, 5).await;
            expect_silence(&mut *consumer).await;
            assert!(after.iter().all(|delivery| delivery.redelivered));
            assert!(after[0].tag.generation > before[0].tag.generation);
            // Stale tags would hit other messages, or close the channel.
            consumer.acker().ack(&tags(&before)).await;
            expect_silence(&mut *consumer).await;
            before = after;
        }
        drop(consumer);
        wait_for_depth(&broker, &pipe(), 50, 0).await;
        broker.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_waits_for_a_repair_but_not_for_ever() {
    run(|setup: Setup| async move {
        let (proxy, mut config) = setup.through_proxy().await;
        let wait = Duration::from_secs(3);
        config.repair_wait = wait;
        let broker = RabbitBroker::connect(config).await.unwrap();
        publish(&broker, numbered(&pipe(), 0..1)).await;
        proxy.refuse(true);
        while broker.is_ready() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // A publish that the loss itself falls into fails at once. The next one waits.
        let mut waited = publish_in_vain(&broker).await;
        if waited < wait {
            waited = publish_in_vain(&broker).await;
        }
        assert!(
            waited >= wait && waited < Duration::from_secs(5),
            "{waited:?}"
        );
        // One that is waiting when the broker comes back goes through.
        let publish = within(publish_until_confirmed(&broker, numbered(&pipe(), 3..4)));
        let mut publish = std::pin::pin!(publish);
        assert!(futures::poll!(publish.as_mut()).is_pending());
        proxy.refuse(false);
        assert_eq!(publish.await.len(), 1);
        broker.close().await;
    })
    .await;
}

/// Publishes while the broker is away, and tells how long that took.
async fn publish_in_vain(broker: &RabbitBroker) -> Duration {
    let begun = Instant::now();
    for result in within(broker.publish(numbered(&pipe(), 1..3))).await {
        assert!(
            matches!(result, Err(BrokerError::Unavailable(_))),
            "{result:?}"
        );
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_can_be_started_before_it_can_be_reached() {
    run(|setup: Setup| async move {
        let (proxy, mut config) = setup.through_proxy().await;
        proxy.refuse(true);
        config.connection_timeout = Duration::from_secs(1);
        config.repair_wait = Duration::from_secs(10);
        let begun = Instant::now();
        assert!(matches!(
            RabbitBroker::connect(config.clone()).await,
            Err(BrokerError::Unavailable(_))
        ));
        assert!(begun.elapsed() < Duration::from_secs(4));
        let broker = RabbitBroker::start(config).unwrap();
        assert!(!broker.is_ready());
        proxy.refuse(false);
        publish(&broker, numbered(&pipe(), 0..1)).await;
        broker.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_says_that_it_may_have_lost_messages_and_goes_on() {
    run(|setup: Setup| async move {
        let (proxy, config) = setup.through_proxy().await;
        let listener = RabbitBroker::connect(config).await.unwrap();
        let broker = setup.broker().await;
        let mut events = listener.subscribe(Topic::Events, &[1]).await.unwrap();
        within(events.set_keys(&[2])).await.unwrap();
        broker
            .broadcast(Topic::Events, 2, Bytes::from_static(b"before"))
            .await;
        assert_eq!(
            within(events.next()).await,
            Ok(Some(Bytes::from_static(b"before")))
        );
        proxy.cut();
        assert_eq!(within(events.next()).await, Ok(None));
        for key in [1, 2] {
            broker
                .broadcast(Topic::Events, key, Bytes::from(vec![key]))
                .await;
        }
        assert_eq!(within(events.next()).await, Ok(Some(Bytes::from(vec![2]))));
        listener.close().await;
        broker.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_is_bounded_while_the_broker_is_away() {
    run(|setup: Setup| async move {
        let (proxy, config) = setup.through_proxy().await;
        let broker = RabbitBroker::connect(config).await.unwrap();
        let mut consumer = broker.consume(&pipe(), 5).await.unwrap();
        proxy.refuse(true);
        let begun = Instant::now();
        let (next, ()) = tokio::join!(within(consumer.next(1)), within(broker.close()));
        assert_eq!(next.unwrap_err(), BrokerError::Closed);
        assert!(begun.elapsed() < Duration::from_millis(5500));
    })
    .await;
}

/// Leaves a queue without a leader.
async fn stop_queue(setup: &Setup, queue: &Queue) {
    let Some(services) = std::env::var_os("HEADWAY_TEST_SERVICES") else {
        panic!(
            "HEADWAY_TEST_SERVICES is not set: this test stops a queue of a RabbitMQ of its own"
        );
    };
    let name = headway_broker::names::queue_name(&setup.prefix, queue);
    let stop = move || {
        std::process::Command::new(services)
            .args(["stop-queue", &name])
            .output()
    };
    let stopped = tokio::task::spawn_blocking(stop).await.unwrap().unwrap();
    assert!(stopped.status.success(), "{stopped:?}");
}

/// How long a publish to a queue without a leader waits for confirms.
const STALL: Duration = Duration::from_secs(5);
/// Bytes of each message to a queue without a leader,
const STALLED_BYTES: usize = 1000;
/// and how many of them are sent before their confirms are awaited.
const STALLED_WINDOW: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_without_a_leader_delays_no_other() {
    run(|setup: Setup| async move {
        let (proxy, mut config) = setup.through_proxy().await;
        config.confirm_timeout = STALL;
        let at_once = config.publishing_channels;
        let broker = Arc::new(RabbitBroker::connect(config).await.unwrap());
        publish(&*broker, numbered(&pipe(), 0..5)).await;
        publish(&*broker, numbered(&Queue::Batch, 0..5)).await;
        stop_queue(&setup, &pipe()).await;
        let before = proxy.sent();
        // More publishes than run at once, and more messages than the broker takes from a channel
        // that is stuck.
        let stalled: Vec<_> = (0..2 * at_once)
            .map(|_| {
                let broker = broker.clone();
                let message = Outgoing {
                    queue: pipe(),
                    body: vec![0; STALLED_BYTES].into(),
                };
                let messages = vec![message; 2 * STALLED_WINDOW];
                tasks::spawn(async move { broker.publish(messages).await })
            })
            .collect();
        // As many windows as are sent at once: each publish that runs waits for the confirms of its
        // own.
        let windows = at_once * STALLED_WINDOW * STALLED_BYTES;
        let sent = async {
            while proxy.sent() < before + windows {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within(sent).await;
        for _ in 0..10 {
            let begun = Instant::now();
            publish(&*broker, numbered(&Queue::Batch, 0..100)).await;
            // One that waits for a stalled publish takes as long as that waits for its confirms.
            assert!(begun.elapsed() < STALL, "{:?}", begun.elapsed());
        }
        for stalled in stalled {
            let results = within(stalled).await.unwrap();
            // The broker refuses some of them by itself.
            let of_queue = |result: &Result<(), BrokerError>| {
                result.as_ref().is_err_and(BrokerError::is_of_queue)
            };
            assert!(results.iter().all(of_queue), "{:?}", results[0]);
        }
        broker.close().await;
    })
    .await;
}
