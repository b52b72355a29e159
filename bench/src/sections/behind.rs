//! i: how soon a one-item job starts whose pipe is busy with a job of a million items of another
//! partition.

use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use headway_client::{Client, JobName, is_final};
use headway_runtime::tasks;
use headway_worker::Worker;
use tokio_util::sync::CancellationToken;

use super::Bench;
use crate::{
    cluster::{Cluster, PIPE},
    jobs::{self, Shape},
    report::Row,
    sizes::Sizes,
    starts::{PROBE, Starts},
    stats::Times,
};

/// Handlers at once. With a quick handler the broker is what everybody waits for; with a slow one
/// the handlers are.
const HANDLERS: usize = 32;

/// The worst time, over handlers that do nothing and handlers that take a while.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let sizes = bench.sizes;
    let services = bench.services()?;
    let mut worst: f64 = 0.0;
    for time in sizes.handler_times {
        let times = Cluster::with(&services, "i", false, async |cluster: &mut Cluster| {
            let starts = Starts::default();
            let shutdown = CancellationToken::new();
            let worker = Worker::builder()
                .amqp(cluster.services.amqp_url.as_str(), &cluster.scope.prefix)
                .pipe(PIPE)
                .concurrency(HANDLERS)
                .handler(starts.handler(*time))
                .build()?;
            let worker = tasks::spawn(worker.run(shutdown.clone()));
            let times = probe(&cluster.client, &starts, &sizes).await;
            shutdown.cancel();
            worker.await??;
            times
        })
        .await?;
        let (median, highest) = (times.percentile_ms(50), times.percentile_ms(100));
        eprintln!(
            "  handlers of {} ms: median {median:.1} ms, worst {highest:.1} ms of {} jobs",
            time.as_millis(),
            times.len()
        );
        worst = worst.max(highest);
    }
    bench.add(Row::new("i.behind_big_job_ms", worst).at_most(1000.0));
    Ok(())
}

async fn probe(client: &Client, starts: &Starts, sizes: &Sizes) -> anyhow::Result<Times> {
    let shape = Shape {
        items: sizes.large,
        per_message: 1,
        window: sizes.window,
    };
    client
        .create_job(jobs::batch("big", "large", PIPE, shape)?)
        .await?;
    let large = JobName::new("big", "large")?;
    under_way(client, &large).await?;
    let mut times = Times::default();
    for turn in 0..sizes.probes {
        let request = jobs::task("small", &format!("probe-{turn}"), PIPE, PROBE);
        let time = starts.measure(client, request).await?;
        if is_final(client.get_job(&large).await?.state()) {
            break;
        }
        times.add(time);
        // The next one comes at another moment of the large job's rounds.
        tokio::time::sleep(sizes.probe_every + Duration::from_millis(37 * turn as u64 % 250)).await;
    }
    anyhow::ensure!(
        times.len() > 0,
        "the large job ended before a small one was tried"
    );
    jobs::cancel(client, &large).await?;
    Ok(times)
}

/// Waits until a hundredth of the job is done.
async fn under_way(client: &Client, name: &JobName) -> anyhow::Result<()> {
    let mut states = client.watch(name, None);
    loop {
        let job = states.next().await.context("the watch ended")??;
        let progress = job.progress.unwrap_or_default();
        if progress.percentage >= 1.0 {
            return Ok(());
        }
    }
}
