//! e: how many jobs are accepted in a second, and how soon one that comes alone starts.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use headway_client::Client;
use headway_runtime::tasks;
use headway_worker::Worker;

use super::Bench;
use crate::{
    cluster::{Cluster, IDLE_PIPE, PIPE},
    embedded::Embedded,
    jobs,
    report::Row,
    starts::{PROBE, Starts},
    stats::Times,
    usage::Usage,
};

/// Calls under way at once.
const IN_FLIGHT: usize = 64;
/// Connections that they share.
const CONNECTIONS: usize = 4;
/// Starts that are not measured, at first.
const WARM_UP: usize = 20;
/// The pause between two jobs, so that each finds the system idle: the one before is tracked to its
/// end by then.
const IDLE: Duration = Duration::from_millis(20);

/// Measures embedded and on the cluster.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let sizes = bench.sizes;
    let services = bench.services()?;
    let rate = Embedded::with(async |embedded: &Embedded| {
        flood(sizes.create_time, || embedded.connect()).await
    })
    .await?;
    bench.add(Row::new("e.embedded.creates_per_s", rate));
    let times = Embedded::with(async |embedded: &Embedded| {
        let starts = Starts::default();
        let worker = Worker::builder()
            .broker(embedded.broker.clone())
            .pipe(PIPE)
            .handler(starts.handler(Duration::ZERO))
            .build()?;
        let worker = tasks::spawn(worker.run(embedded.shutdown.clone()));
        let times = one_by_one(&embedded.client, &starts, sizes.starts).await;
        embedded.shutdown.cancel();
        worker.await??;
        times
    })
    .await?;
    let p50 = Row::new("e.embedded.start_p50_ms", times.percentile_ms(50));
    bench.add(p50.at_most(5.0));
    let p99 = Row::new("e.embedded.start_p99_ms", times.percentile_ms(99));
    bench.add(p99.at_most(25.0));

    let rate = Cluster::with(&services, "e", false, async |cluster: &mut Cluster| {
        let usage = Usage::begin(cluster.watched());
        let rate = flood(sizes.create_time, || cluster.connect()).await?;
        eprintln!("  {}", usage.since());
        Ok(rate)
    })
    .await?;
    let limit = bench.report.value("b.db_commits_per_s");
    bench.add(Row::new("e.cluster.creates_per_s", rate).at_least_of(0.3, limit));
    let times = Cluster::with(&services, "e", false, async |cluster: &mut Cluster| {
        let starts = Starts::default();
        let shutdown = tokio_util::sync::CancellationToken::new();
        let worker = Worker::builder()
            .amqp(cluster.services.amqp_url.as_str(), &cluster.scope.prefix)
            .pipe(PIPE)
            .handler(starts.handler(Duration::ZERO))
            .build()?;
        let worker = tasks::spawn(worker.run(shutdown.clone()));
        let times = one_by_one(&cluster.client, &starts, sizes.starts).await;
        shutdown.cancel();
        worker.await??;
        times
    })
    .await?;
    let p50 = Row::new("e.cluster.start_p50_ms", times.percentile_ms(50));
    bench.add(p50.at_most(10.0));
    let p99 = Row::new("e.cluster.start_p99_ms", times.percentile_ms(99));
    bench.add(p99.at_most(25.0));
    Ok(())
}

/// Creates single tasks as fast as 64 callers can, for a while; how many a second.
pub(super) async fn flood<F>(time: Duration, connect: impl Fn() -> F) -> anyhow::Result<f64>
where
    F: Future<Output = anyhow::Result<Client>>,
{
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(connect().await?);
    }
    // The pipe's queue and the pools' connections are made before, not while it is measured.
    for (number, client) in clients.iter().cycle().take(IN_FLIGHT).enumerate() {
        let id = format!("warm-up-{number}");
        client
            .create_job(jobs::task("bench", &id, IDLE_PIPE, "noop"))
            .await?;
    }
    let begin = Instant::now();
    let callers = (0..IN_FLIGHT).map(|caller| {
        let client = clients[caller % CONNECTIONS].clone();
        tasks::spawn(call(client, caller, begin + time))
    });
    let created: anyhow::Result<u64> = try_join_all(callers).await?.into_iter().sum();
    Ok(created? as f64 / begin.elapsed().as_secs_f64())
}

async fn call(client: Client, caller: usize, until: Instant) -> anyhow::Result<u64> {
    let mut created = 0;
    while Instant::now() < until {
        let id = format!("flood-{caller}-{created}");
        client
            .create_job(jobs::task("bench", &id, IDLE_PIPE, "noop"))
            .await?;
        created += 1;
    }
    Ok(created)
}

/// Creates single tasks one after the other.
async fn one_by_one(client: &Client, starts: &Starts, count: usize) -> anyhow::Result<Times> {
    let mut times = Times::default();
    for turn in 0..WARM_UP + count {
        let request = jobs::task("bench", &format!("start-{turn}"), PIPE, PROBE);
        let time = starts.measure(client, request).await?;
        if turn >= WARM_UP {
            times.add(time);
        }
        tokio::time::sleep(IDLE).await;
    }
    Ok(times)
}
