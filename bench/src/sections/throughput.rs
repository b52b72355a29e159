//! c, d, h: items per second through everything, with a handler that does nothing.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use headway_client::Client;
use headway_runtime::tasks;
use headway_worker::Worker;

use super::Bench;
use crate::{
    child,
    cluster::{Cluster, PIPE},
    embedded::Embedded,
    jobs::{self, Shape},
    report::Row,
    sizes::{CONCURRENCY, Sizes},
    stats::median,
    usage::Usage,
};

/// Items of the job that goes first, so that connections, queues and rates are there.
pub(crate) const WARM_UP: u64 = 5_000;
/// Items in one message, in sections c and d.
const PER_MESSAGE: [i32; 2] = [1, 100];

/// Runs a job that is not measured.
pub(crate) async fn warm_up(client: &Client, sizes: &Sizes) -> anyhow::Result<()> {
    let shape = Shape {
        items: WARM_UP.min(sizes.items),
        per_message: 1,
        window: sizes.window,
    };
    jobs::run(client, "bench", "warm-up", PIPE, shape).await?;
    Ok(())
}

/// c: on PostgreSQL and RabbitMQ, a process of each role.
pub(crate) async fn cluster(bench: &mut Bench) -> anyhow::Result<()> {
    let sizes = bench.sizes;
    let services = bench.services()?;
    let rates = Cluster::with(&services, "c", true, async |cluster: &mut Cluster| {
        warm_up(&cluster.client, &sizes).await?;
        let mut rates = Vec::new();
        for per_message in PER_MESSAGE {
            let shape = Shape {
                items: sizes.items,
                per_message,
                window: sizes.window,
            };
            let usage = Usage::begin(cluster.watched());
            let id = format!("c-{per_message}");
            let seconds = jobs::run(&cluster.client, "bench", &id, PIPE, shape).await?;
            eprintln!("  {per_message} a message: {}", usage.since());
            rates.push(sizes.items as f64 / seconds);
        }
        Ok(rates)
    })
    .await?;
    let limit = bench.report.value("a.broker_msgs_per_s");
    for ((per_message, rate), factor) in PER_MESSAGE.into_iter().zip(rates).zip([0.5, 3.0]) {
        let key = format!("c.items_per_s_{per_message}");
        bench.add(Row::new(key, rate).at_least_of(factor, limit));
    }
    Ok(())
}

/// d: in one process with SQLite.
pub(crate) async fn embedded(bench: &mut Bench) -> anyhow::Result<()> {
    let sizes = bench.sizes;
    let (rates, ran) = Embedded::with(async |embedded: &Embedded| {
        let ran = Arc::new(AtomicU64::new(0));
        let worker = Worker::builder()
            .broker(embedded.broker.clone())
            .pipe(PIPE)
            .concurrency(CONCURRENCY)
            .handler(child::noop(ran.clone()))
            .build()?;
        let worker = tasks::spawn(worker.run(embedded.shutdown.clone()));
        warm_up(&embedded.client, &sizes).await?;
        let mut rates = Vec::new();
        for per_message in PER_MESSAGE {
            let shape = Shape {
                items: sizes.items,
                per_message,
                window: sizes.window,
            };
            let own = ("process".to_owned(), (std::process::id(), false));
            let usage = Usage::begin([own].into());
            let id = format!("d-{per_message}");
            let seconds = jobs::run(&embedded.client, "bench", &id, PIPE, shape).await?;
            eprintln!("  {per_message} a message: {}", usage.since());
            rates.push(sizes.items as f64 / seconds);
        }
        embedded.shutdown.cancel();
        worker.await??;
        Ok((rates, ran.load(Ordering::Relaxed)))
    })
    .await?;
    let expected = 2 * sizes.items + WARM_UP.min(sizes.items);
    // Nothing fails or is lost here, so no item has a reason to run twice.
    anyhow::ensure!(
        ran == expected,
        "handlers ran {ran} times for {expected} items"
    );
    for (per_message, rate) in PER_MESSAGE.into_iter().zip(rates) {
        let row = Row::new(format!("d.items_per_s_{per_message}"), rate);
        bench.add(if per_message == 1 {
            row.at_least(50_000.0)
        } else {
            row
        });
    }
    Ok(())
}

/// h: the cost of an item by the size of its job, one item a message, on the cluster.
pub(crate) async fn scale(bench: &mut Bench) -> anyhow::Result<()> {
    let sizes = bench.sizes;
    let services = bench.services()?;
    let large = bench.large_us_per_item;
    let costs = Cluster::with(&services, "h", true, async |cluster: &mut Cluster| {
        warm_up(&cluster.client, &sizes).await?;
        let mut costs = Vec::new();
        for (at, items) in sizes.scale.into_iter().enumerate() {
            let last = at + 1 == sizes.scale.len();
            if let Some(large) = large.filter(|_| last) {
                costs.push(large);
                continue;
            }
            let mut figures = Vec::new();
            for turn in 0..if last { 1 } else { sizes.repeats } {
                let shape = Shape {
                    items,
                    per_message: 1,
                    window: sizes.window,
                };
                let id = format!("h-{items}-{turn}");
                let seconds = jobs::run(&cluster.client, "bench", &id, PIPE, shape).await?;
                figures.push(seconds * 1e6 / items as f64);
            }
            costs.push(median(&mut figures));
        }
        Ok(costs)
    })
    .await?;
    let most = costs.iter().copied().fold(0.0, f64::max);
    let least = costs.iter().copied().fold(f64::INFINITY, f64::min);
    for (name, cost) in ["10k", "100k", "1m"].into_iter().zip(costs) {
        let row = Row::new(format!("h.us_per_item_{name}"), cost);
        bench.add(row.target("within 20 %", most <= 1.2 * least));
    }
    Ok(())
}
