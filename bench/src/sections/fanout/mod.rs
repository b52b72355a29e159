//! w: one server, many watchers. Jobs change at a steady pace, by real transactions of another
//! process; every change goes to each of their watchers, who are told at once. Next to it the same
//! message from a bare server, over as many connections.

mod streams;
mod web;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use headway_client::{JobBuilder, TaskBuilder, create_request};
use tokio::task::JoinSet;
use tonic::Streaming;

use self::streams::Measured;
use super::Bench;
use crate::{
    child::Kind,
    cluster::{Cluster, IDLE_PIPE},
    helper::Helper,
    report::Row,
    usage,
};

const PARTITION: &str = "fanout";
/// Changes of each job in a second.
const RATE: f64 = 10.0;
/// Streams of a connection.
const PER_CONNECTION: usize = 100;
/// How long a load runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// What one load came to.
struct Load {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Measures the bare server, then Headway.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let services = bench.services()?;
    let sizes = bench.sizes;
    let rows = Cluster::with(&services, "w", false, async |cluster: &mut Cluster| {
        let names = create(cluster, sizes.fan_out.jobs).await?;
        let mut rows = Vec::new();
        raw(cluster, &names, bench, &mut rows).await?;
        watched(cluster, &names, bench, &mut rows).await?;
        Ok(rows)
    })
    .await?;
    for row in rows {
        bench.add(row);
    }
    Ok(())
}

/// Jobs of one task, which nobody takes.
async fn create(cluster: &Cluster, count: usize) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::with_capacity(count);
    for number in 0..count {
        let spec = JobBuilder::new(TaskBuilder::new(IDLE_PIPE, "none"))
            .label("team", "documents")
            .label("run", format!("nightly-{number}"))
            .build();
        names.push(
            cluster
                .client
                .create_job(create_request(PARTITION, spec))
                .await?
                .name,
        );
    }
    Ok(names)
}

/// The bare server under the same load.
async fn raw(
    cluster: &Cluster,
    names: &[String],
    bench: &Bench,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let sizes = bench.sizes.fan_out;
    // The very message that a watcher gets.
    let mut one = streams::open(cluster.address(), 1, 1, names).await?;
    let first = one.first_mut().context("no stream")?.message().await?;
    let message: String = first
        .context("no state")?
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    drop(one);
    let arguments = [
        "role".to_owned(),
        "fan-out".to_owned(),
        format!("--message={message}"),
        format!("--sources={}", names.len()),
        format!("--rate={RATE}"),
    ];
    let server = Helper::start(&arguments, []).await?;
    let sources: Vec<String> = (0..names.len()).map(|number| number.to_string()).collect();
    let opened = streams::open(
        &server.address,
        connections(sizes.watchers),
        sizes.watchers,
        &sources,
    )
    .await?;
    let measured = Measured::new();
    let mut readers = streams::read_all(opened, &measured);
    let load = run(&measured, &mut readers, sizes.time).await?;
    readers.shutdown().await;
    server.end().await?;
    rows.push(Row::new("w.raw_deliveries_per_s", load.per_second));
    rows.push(Row::new("w.raw_p99_ms", load.p99_ms));
    Ok(())
}

/// Headway under it: alone, beside watchers that never read, and by grpc-web.
async fn watched(
    cluster: &Cluster,
    names: &[String],
    bench: &Bench,
    rows: &mut Vec<Row>,
) -> anyhow::Result<()> {
    let sizes = bench.sizes.fan_out;
    let address = cluster.address();
    let server = cluster.pid(Kind::Server).context("no server")?;
    let resident = || usage::resident_kb(server).context("the server's memory cannot be read");
    let idle = resident()?;
    let opened = streams::open(address, connections(sizes.watchers), sizes.watchers, names).await?;
    let measured = Measured::new();
    let mut readers = streams::read_all(opened, &measured);
    let driver = Helper::start(&driver(), cluster.settings(None)).await?;

    let before = usage::Usage::begin(cluster.watched_with(&[("driver", driver.pid)]));
    let alone = run(&measured, &mut readers, sizes.time).await?;
    eprintln!("  {}", before.since());
    let grown = resident()? - idle;
    let raw = rows
        .iter()
        .find_map(|row| row.value_of("w.raw_deliveries_per_s"));
    rows.push(Row::new("w.deliveries_per_s", alone.per_second).at_least_of(0.7, raw));
    rows.push(Row::new("w.p50_ms", alone.p50_ms));
    rows.push(Row::new("w.p99_ms", alone.p99_ms).at_most(100.0));
    let each = grown / sizes.watchers as f64;
    rows.push(Row::new("w.kb_per_watcher", each).at_most(25.0));

    // They are on connections of their own: on one that others share the protocol would hold up
    // those too.
    let stuck: Vec<Streaming<Bytes>> =
        streams::open(address, connections(sizes.stuck), sizes.stuck, names).await?;
    let beside = run(&measured, &mut readers, sizes.time).await?;
    rows.push(Row::new("w.p99_ms_beside_stuck", beside.p99_ms));
    rows.push(
        Row::new("w.deliveries_per_s_beside_stuck", beside.per_second)
            .at_least_of(0.9, Some(alone.per_second)),
    );
    drop(stuck);

    if let Some(time) = sizes.soak {
        let begin = resident()?;
        let long = run(&measured, &mut readers, time).await?;
        rows.push(Row::new("w.soak_p99_ms", long.p99_ms));
        let growth = (resident()? - begin) / 1000.0;
        rows.push(Row::new("w.soak_growth_mb", growth).at_most(10.0));
    }
    readers.shutdown().await;

    let measured = Measured::new();
    let mut readers = web::open(address, sizes.web, names, &measured).await?;
    let by_web = run(&measured, &mut readers, sizes.time).await?;
    readers.shutdown().await;
    rows.push(Row::new("w.grpc_web_deliveries_per_s", by_web.per_second));
    rows.push(Row::new("w.grpc_web_p99_ms", by_web.p99_ms).at_most(100.0));
    eprintln!("  the driver {}", driver.end().await?);
    Ok(())
}

fn connections(streams: usize) -> usize {
    streams.div_ceil(PER_CONNECTION)
}

fn driver() -> [String; 4] {
    [
        "role".to_owned(),
        "driver".to_owned(),
        format!("--rate={RATE}"),
        format!("--partition={PARTITION}"),
    ]
}

/// Measures for a time what readers get; an error when one of them ended.
async fn run(
    measured: &Arc<Measured>,
    readers: &mut JoinSet<anyhow::Result<()>>,
    time: Duration,
) -> anyhow::Result<Load> {
    let timed = async {
        tokio::time::sleep(WARM_UP).await;
        measured.begin();
        tokio::time::sleep(time).await;
        measured.end()
    };
    let deliveries = tokio::select! {
        deliveries = timed => deliveries,
        Some(ended) = readers.join_next() => {
            ended??;
            anyhow::bail!("a reader has ended");
        }
    };
    anyhow::ensure!(deliveries > 0, "watchers saw no changes");
    Ok(Load {
        per_second: deliveries as f64 / time.as_secs_f64(),
        p50_ms: measured.percentile_ms(50),
        p99_ms: measured.percentile_ms(99),
    })
}
