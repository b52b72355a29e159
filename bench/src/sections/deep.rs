//! n: folders in folders, with a file in each. Each level is a page of its own that waits for the
//! one above it, so the time must grow with the number of levels and not faster.
//!
//! | key | what it is |
//! |---|---|
//! | `n.embedded.ms_per_level.100`, and so on | the time of a job over this many levels, divided by them |
//! | `n.embedded.growth` | the last of these beside the first |
//! | `n.cluster.…` | the same on PostgreSQL and RabbitMQ |

use std::{fs, path::Path, time::Instant};

use headway_client::{BatchBuilder, Client, JobBuilder, JobName};
use headway_runtime::tasks;
use headway_worker::Worker;

use super::{Bench, throughput::warm_up};
use crate::{
    child,
    cluster::{Cluster, PIPE},
    embedded::Embedded,
    jobs,
    report::Row,
    services,
    sizes::{CONCURRENCY, Sizes},
};

const PARTITION: &str = "bench";
/// How much more a level of the deepest tree may take than one of the shallowest.
const MOST_GROWTH: f64 = 1.5;

/// Measures both back ends.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let sizes = bench.sizes;
    let times = Embedded::with(async |embedded: &Embedded| {
        let worker = Worker::builder()
            .broker(embedded.broker.clone())
            .pipe(PIPE)
            .concurrency(CONCURRENCY)
            .handler(child::noop(Default::default()))
            .build()?;
        let worker = tasks::spawn(worker.run(embedded.shutdown.clone()));
        let times = trees(&embedded.client, &sizes).await?;
        embedded.shutdown.cancel();
        worker.await??;
        Ok(times)
    })
    .await?;
    add(bench, "embedded", times);
    let services = bench.services()?;
    let times = Cluster::with(&services, "n", true, async |cluster: &mut Cluster| {
        trees(&cluster.client, &sizes).await
    })
    .await?;
    add(bench, "cluster", times);
    Ok(())
}

fn add(bench: &mut Bench, back_end: &str, times: [f64; 3]) {
    for (levels, time) in bench.sizes.levels.into_iter().zip(times) {
        let key = format!("n.{back_end}.ms_per_level.{levels}");
        bench.add(Row::new(key, time));
    }
    let [shallow, _, deep] = times;
    let key = format!("n.{back_end}.growth");
    bench.add(Row::new(key, deep / shallow).at_most(MOST_GROWTH));
}

/// The milliseconds a level of a tree of each depth.
async fn trees(client: &Client, sizes: &Sizes) -> anyhow::Result<[f64; 3]> {
    warm_up(client, sizes).await?;
    let mut times = [0.0; 3];
    for (levels, time) in sizes.levels.into_iter().zip(&mut times) {
        let folder = tempfile::tempdir_in(services::scratch())?;
        nest(folder.path(), levels)?;
        let mut seconds = Vec::new();
        for turn in 0..sizes.repeats {
            let id = format!("n-{levels}-{turn}");
            seconds.push(run(client, folder.path(), &id, levels).await?);
        }
        seconds.sort_by(f64::total_cmp);
        *time = seconds[seconds.len() / 2] * 1e3 / f64::from(levels);
    }
    Ok(times)
}

/// Makes folders in folders, and a file in each.
fn nest(root: &Path, levels: u32) -> std::io::Result<()> {
    let mut folder = root.to_owned();
    for _ in 0..levels {
        folder.push("d");
        fs::create_dir(&folder)?;
        fs::write(folder.join("f"), "")?;
    }
    Ok(())
}

async fn run(client: &Client, root: &Path, id: &str, levels: u32) -> anyhow::Result<f64> {
    let batch = BatchBuilder::new("files")
        .json(&serde_json::json!({"root": root}))
        .item(PIPE, "noop");
    let begin = Instant::now();
    client
        .create_job(jobs::request(PARTITION, id, JobBuilder::new(batch)))
        .await?;
    let job = jobs::ended(client, &JobName::new(PARTITION, id)?).await?;
    let seconds = begin.elapsed().as_secs_f64();
    jobs::check(&job, u64::from(levels))?;
    Ok(seconds)
}
