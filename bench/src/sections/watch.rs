//! f: how long after a change was committed its watcher has it. The change's own time is taken when
//! its transaction has its locks, so the commit itself is part of what is measured.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use futures::{StreamExt, future::try_join_all};
use headway_client::{Client, JobName, is_final};
use headway_runtime::tasks;
use headway_worker::Worker;
use tokio_util::sync::CancellationToken;

use super::Bench;
use crate::{
    cluster::{Cluster, PIPE},
    jobs::{self, Shape},
    report::Row,
    starts::Starts,
    stats::Times,
};

/// How long an item takes: several jobs go on for a while, with changes all the time.
const HANDLER_TIME: Duration = Duration::from_millis(5);
const HANDLERS: usize = 16;

/// Measures on the cluster, with a watcher for each of several jobs that run at once.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let services = bench.services()?;
    let (count, items) = bench.sizes.watched;
    let times = Cluster::with(&services, "f", false, async |cluster: &mut Cluster| {
        let shutdown = CancellationToken::new();
        let worker = Worker::builder()
            .amqp(cluster.services.amqp_url.as_str(), &cluster.scope.prefix)
            .pipe(PIPE)
            .concurrency(HANDLERS)
            .handler(Starts::default().handler(HANDLER_TIME))
            .build()?;
        let worker = tasks::spawn(worker.run(shutdown.clone()));
        let times = watch_all(&cluster.client, count, items).await;
        shutdown.cancel();
        worker.await??;
        times
    })
    .await?;
    anyhow::ensure!(times.len() >= count, "watchers saw no changes");
    eprintln!("  {} changes seen by {count} watchers", times.len());
    bench.add(Row::new("f.watch_p50_ms", times.percentile_ms(50)));
    let p99 = Row::new("f.watch_p99_ms", times.percentile_ms(99));
    bench.add(p99.at_most(100.0));
    Ok(())
}

async fn watch_all(client: &Client, count: usize, items: u64) -> anyhow::Result<Times> {
    let watchers = (0..count).map(|number| watch(client.clone(), number, items));
    let mut all = Times::default();
    for times in try_join_all(watchers).await? {
        all.merge(times);
    }
    Ok(all)
}

/// Creates a job and watches it to its end.
async fn watch(client: Client, number: usize, items: u64) -> anyhow::Result<Times> {
    let id = format!("watched-{number}");
    let shape = Shape {
        items,
        per_message: 1,
        window: 1000,
    };
    client
        .create_job(jobs::batch("bench", &id, PIPE, shape)?)
        .await?;
    let name = JobName::new("bench", &id)?;
    let mut states = client.watch(&name, Some(Duration::ZERO));
    let mut times = Times::default();
    // The first state is the one at the watch's begin, however old.
    let mut seen = states.next().await.context("no state came")??.update_time;
    while let Some(state) = states.next().await {
        let job = state?;
        let now = SystemTime::now();
        if job.update_time != seen {
            let update_time = job.update_time.context("a state without its time")?;
            let committed = SystemTime::try_from(update_time)?;
            // The database's clock is this machine's, but for less than it takes to ask for it.
            times.add(now.duration_since(committed).unwrap_or_default());
            seen = job.update_time;
        }
        if is_final(job.state()) {
            jobs::check(&job, items)?;
            return Ok(times);
        }
    }
    anyhow::bail!("the watch of {name} ended before the job did")
}
