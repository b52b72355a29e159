//! g: a job of a million items: how long it takes, and what it takes of memory, of the database and
//! of the pipe.

use std::time::Duration;

use headway_broker::{Queue, names::queue_name};
use headway_runtime::tasks;
use sqlx::Connection;
use tokio_util::sync::CancellationToken;

use super::{Bench, throughput::warm_up};
use crate::{
    cluster::{Cluster, PIPE},
    jobs::{self, Shape},
    report::Row,
    services::{Scope, Services, database_bytes, depth},
    usage::Usage,
};

const DATABASE_EVERY: Duration = Duration::from_secs(1);
const DEPTH_EVERY: Duration = Duration::from_millis(100);
/// What a role may have of memory, and what the database may grow, in MB.
const MOST_MEMORY: f64 = 150.0;
const MOST_GROWTH: f64 = 10.0;

/// The highest values that were seen.
#[derive(Debug, Default, Clone, Copy)]
struct Peaks {
    database_bytes: i64,
    depth: u64,
}

/// Runs the large job.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let sizes = bench.sizes;
    let services = bench.services()?;
    let shape = Shape {
        items: sizes.large,
        per_message: 1,
        window: sizes.window,
    };
    let figures = Cluster::with(&services, "g", true, async |cluster: &mut Cluster| {
        warm_up(&cluster.client, &sizes).await?;
        let mut database = cluster.services.database().await?;
        let before = database_bytes(&mut database).await?;
        let stop = CancellationToken::new();
        let sampling = tasks::spawn(sample(
            cluster.services.clone(),
            cluster.scope.clone(),
            stop.clone(),
        ));
        let usage = Usage::begin(cluster.watched());
        let ran = jobs::run(&cluster.client, "bench", "large", PIPE, shape).await;
        eprintln!("  {}", usage.since());
        stop.cancel();
        let peaks = sampling.await??;
        let after = database_bytes(&mut database).await?;
        database.close().await?;
        Ok((ran?, before, peaks, after, cluster.peaks()))
    })
    .await?;
    let (seconds, before, peaks, after, memory) = figures;
    bench.large_us_per_item = Some(seconds * 1e6 / sizes.large as f64);
    bench.add(Row::new("g.seconds", seconds));
    for (kind, mb) in memory {
        bench.add(Row::new(format!("g.rss_mb.{}", kind.name()), mb).at_most(MOST_MEMORY));
    }
    let megabytes = |bytes: i64| bytes as f64 / 1e6;
    let highest = peaks.database_bytes.max(after);
    bench.add(Row::new("g.db_mb_before", megabytes(before)));
    let growth = megabytes(highest - before);
    bench.add(Row::new("g.db_mb_peak", megabytes(highest)).target(
        format!("growth {growth:.1} <= {MOST_GROWTH}"),
        growth <= MOST_GROWTH,
    ));
    bench.add(Row::new("g.db_mb_after", megabytes(after)));
    bench.add(Row::new("g.depth_max", peaks.depth as f64).at_most(f64::from(shape.window)));
    Ok(())
}

async fn sample(
    services: Services,
    scope: Scope,
    stop: CancellationToken,
) -> anyhow::Result<Peaks> {
    let mut database = services.database().await?;
    let broker = services.broker().await?;
    let pipe = queue_name(&scope.prefix, &Queue::Pipe(PIPE.to_owned()));
    let mut sizes = tokio::time::interval(DATABASE_EVERY);
    let mut depths = tokio::time::interval(DEPTH_EVERY);
    let mut peaks = Peaks::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = sizes.tick() => {
                let bytes = database_bytes(&mut database).await?;
                peaks.database_bytes = peaks.database_bytes.max(bytes);
            }
            _ = depths.tick() => peaks.depth = peaks.depth.max(depth(&broker, &pipe).await?),
        }
    }
    broker.close(200, "done".into()).await?;
    database.close().await?;
    Ok(peaks)
}
