//! What only a real broker can show: the arguments of its queues, and what becomes of a queue that
//! was there before.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use headway_broker::{Broker, Consumer, Outgoing, Queue, RabbitBroker, names};
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;

use crate::setup::{Setup, run};
use crate::suite::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_exists_with_other_arguments_is_used_as_it_is() {
    run(|setup: Setup| async move {
        let raw = setup.raw().await;
        let channel = raw.create_channel().await.unwrap();
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let name = names::queue_name(&setup.prefix, &pipe());
        channel
            .queue_declare(name.into(), options, FieldTable::default())
            .await
            .unwrap();
        let broker = setup.broker().await;
        publish(&*broker, numbered(&pipe(), 0..10)).await;
        let mut consumer = broker.consume(&pipe(), 10).await.unwrap();
        let all = receive(&mut *consumer, 10).await;
        consumer.acker().ack(&tags(&all)).await;
        broker.close().await;
        raw.close(200, "done".into()).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_consumer_that_the_broker_forgot_starts_over() {
    run(|setup: Setup| async move {
        let mut config = setup.config();
        config.idle_renewal = Duration::from_secs(1);
        let broker = RabbitBroker::connect(config).await.unwrap();
        let mut consumer = broker.consume(&pipe(), 5).await.unwrap();
        // Gone and there again before the broker cancels anybody.
        let raw = setup.raw().await;
        let channel = raw.create_channel().await.unwrap();
        let name = names::queue_name(&setup.prefix, &pipe());
        let options = QueueDeleteOptions::default();
        channel.queue_delete(name.into(), options).await.unwrap();
        publish(&broker, numbered(&pipe(), 0..50)).await;
        let seen: BTreeSet<u32> = receive_all(&mut *consumer, 50).await;
        assert_eq!(seen, (0..50).collect());
        broker.close().await;
        raw.close(200, "done".into()).await.unwrap();
    })
    .await;
}

/// Receives and acknowledges until that many different numbers have come.
async fn receive_all(consumer: &mut dyn Consumer, count: usize) -> BTreeSet<u32> {
    let mut seen = BTreeSet::new();
    while seen.len() < count {
        let batch = within(consumer.next(20)).await.unwrap();
        consumer.acker().ack(&tags(&batch)).await;
        seen.extend(numbers(&batch));
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_too_long_is_refused() {
    run(|setup: Setup| async move {
        let broker = setup.broker().await;
        let queue = Queue::Pipe("x".repeat(names::MAX_NAME_BYTES));
        let body = Bytes::from_static(b"x");
        let results = broker
            .publish(vec![Outgoing {
                queue: queue.clone(),
                body,
            }])
            .await;
        assert!(matches!(
            results[..],
            [Err(headway_broker::BrokerError::Refused(_))]
        ));
        assert!(broker.consume(&queue, 1).await.is_err());
        broker.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_do_not_print() {
    run(|setup: Setup| async move {
        let broker: RabbitBroker = (*setup.broker().await).clone();
        let printed = format!("{broker:?} {:?}", setup.config());
        assert!(
            !printed.contains("guest") && !printed.contains('@'),
            "{printed}"
        );
        broker.close().await;
    })
    .await;
}

/// Measures; run with `--release -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn throughput() {
    run(|setup: Setup| async move {
        const COUNT: usize = 200_000;
        let broker = setup.broker().await;
        let mut consumer = broker.consume(&pipe(), 2000).await.unwrap();
        let body = Bytes::from(vec![7; 300]);
        let begun = Instant::now();
        let mut publishers = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let (broker, body) = (broker.clone(), body.clone());
            publishers.spawn(async move {
                for _ in 0..COUNT / 2 / 500 {
                    let message = Outgoing {
                        queue: pipe(),
                        body: body.clone(),
                    };
                    publish(&*broker, vec![message; 500]).await;
                }
            });
        }
        let mut seen = 0;
        while seen < COUNT {
            let batch = within(consumer.next(500)).await.unwrap();
            seen += batch.len();
            consumer.acker().ack(&tags(&batch)).await;
        }
        println!(
            "{:.0} messages/s",
            seen as f64 / begun.elapsed().as_secs_f64()
        );
        publishers.join_all().await;
        broker.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_belongs_to_one_deployment() {
    run(|setup: Setup| async move {
        let (ours, theirs) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
        let (broker, other) = (setup.broker().await, setup.broker().await);
        // Of two that come at once one gets it.
        let (one, two) = tokio::join!(broker.claim_prefix(ours), other.claim_prefix(theirs));
        let (owner, foreign) = match (one.unwrap(), two.unwrap()) {
            (None, Some(owner)) => (owner, theirs),
            (Some(owner), None) => (owner, ours),
            both => panic!("{both:?}"),
        };
        let owner_id: uuid::Uuid = owner.parse().unwrap();
        assert!([ours, theirs].contains(&owner_id) && owner_id != foreign);
        // Any process of the owner may claim it again, and nobody else may.
        for broker in [&broker, &other] {
            assert_eq!(broker.claim_prefix(owner_id).await, Ok(None));
            assert_eq!(broker.claim_prefix(foreign).await, Ok(Some(owner.clone())));
        }
        broker.close().await;
        other.close().await;
    })
    .await;
}
