//! The shared suite on the broker in memory, and what is its own.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

mod suite;

use std::sync::Arc;

use futures::future::BoxFuture;
use headway_broker::{Broker, InProcessBroker};
use headway_runtime::tasks;
use suite::Fixture;

async fn run(test: impl FnOnce(Fixture) -> BoxFuture<'static, ()>) {
    let broker = InProcessBroker::new();
    test(Fixture {
        broker: Arc::new(broker.clone()),
        other: Arc::new(broker.clone()),
    })
    .await;
    broker.close().await;
}

broker_suite!(run);

/// Measures; run with `--release -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn throughput() {
    const BATCHES: u32 = 20_000;
    const SIZE: u32 = 100;
    let broker = InProcessBroker::new();
    let mut consumer = broker.consume(&suite::pipe(), 1000).await.unwrap();
    let begun = std::time::Instant::now();
    let publisher = tasks::spawn({
        let broker = broker.clone();
        let batch = suite::numbered(&suite::pipe(), 0..SIZE);
        async move {
            for _ in 0..BATCHES {
                // Stay below the bound of the queue.
                while broker.depth(&suite::pipe()).await.unwrap().ready > 100_000 {
                    tokio::task::yield_now().await;
                }
                suite::publish(&broker, batch.clone()).await;
            }
        }
    });
    let mut seen = 0;
    while seen < (BATCHES * SIZE) as usize {
        let batch = consumer.next(SIZE as usize).await.unwrap();
        consumer.acker().ack(&suite::tags(&batch)).await;
        seen += batch.len();
    }
    publisher.await.unwrap();
    println!(
        "{:.0} messages/s",
        seen as f64 / begun.elapsed().as_secs_f64()
    );
}
