//! p: jobs that wait for others: chains, fan-ins, and what waiting jobs cost the others.

use std::time::{Duration, Instant};

use anyhow::Context;
use headway_client::{
    Client, JobBuilder, JobName, TaskBuilder,
    v1::{BatchCreateJobsEntry, JobState},
};
use headway_runtime::tasks;
use headway_worker::{Outcome, Task, TaskError, Worker};

use super::{Bench, create::flood};
use crate::{
    cluster::{Cluster, PIPE},
    embedded::Embedded,
    jobs,
    report::Row,
    sizes::Sizes,
    usage::Usage,
};

const PARTITION: &str = "bench";
/// Jobs in one call.
const CALL: usize = 1000;
/// Looks at the CPU time at most until it does not fall any more.
const LOOKS: usize = 10;
/// It does not if it is still so many times what it was.
const SETTLED: f64 = 0.8;

/// Measures embedded and on the cluster.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let sizes = bench.sizes;
    let services = bench.services()?;
    let link = Embedded::with(async |embedded: &Embedded| {
        let worker = Worker::builder()
            .broker(embedded.broker.clone())
            .pipe(PIPE)
            .handler(|_: Task| async { Ok::<_, TaskError>(Outcome::done()) })
            .build()?;
        let worker = tasks::spawn(worker.run(embedded.shutdown.clone()));
        let link = chain(&embedded.client, sizes.chain).await?;
        embedded.shutdown.cancel();
        worker.await??;
        Ok(link)
    })
    .await?;
    bench.add(Row::new("p.embedded.chain_ms_per_link", link).at_most(10.0));
    let (link, fan_in) = Cluster::with(&services, "p", true, async |cluster: &mut Cluster| {
        let link = chain(&cluster.client, sizes.chain).await?;
        Ok((link, fan_in(&cluster.client, sizes.fan_in).await?))
    })
    .await?;
    bench.add(Row::new("p.cluster.chain_ms_per_link", link));
    bench.add(Row::new("p.cluster.fan_in_prerequisites_per_s", fan_in));
    let costs = async |waiting| {
        Cluster::with(&services, "p", false, async |cluster: &mut Cluster| {
            wait_for_one(&cluster.client, waiting).await?;
            costs(cluster, sizes).await
        })
        .await
    };
    let (alone, beside) = (costs(0).await?, costs(sizes.waiting).await?);
    let row = |key: &str, value| Row::new(format!("p.cluster.{key}"), value);
    bench.add(row("cpu_percent_while_none_wait", alone.cpu));
    bench.add(row("cpu_percent_while_many_wait", beside.cpu));
    bench.add(row("creates_per_s_beside_none_waiting", alone.creates));
    let creates = row("creates_per_s_beside_waiting", beside.creates);
    bench.add(creates.beside(alone.creates));
    Ok(())
}

/// What a deployment costs at some moment.
struct Costs {
    /// Percent of a core that its processes and PostgreSQL use while nothing is asked of them.
    cpu: f64,
    /// Creations in a second.
    creates: f64,
}

async fn costs(cluster: &mut Cluster, sizes: Sizes) -> anyhow::Result<Costs> {
    let cpu = idle_cpu(cluster, sizes.quiet).await?;
    let creates = flood(sizes.create_time, || cluster.connect()).await?;
    Ok(Costs { cpu, creates })
}

/// Percent of a core, once PostgreSQL is done with what it does after many writes.
async fn idle_cpu(cluster: &Cluster, quiet: Duration) -> anyhow::Result<f64> {
    let mut watched = cluster.watched();
    watched.retain(|name, _| !["bench", "rabbitmq"].contains(&name.as_str()));
    let used = async || {
        let usage = Usage::begin(watched.clone());
        tokio::time::sleep(quiet).await;
        100.0 * usage.seconds_since() / quiet.as_secs_f64()
    };
    // The least of the last looks, when none of them is much below the ones before.
    let mut looks = vec![used().await, used().await];
    while looks.len() < LOOKS {
        let now = used().await;
        let least = looks[looks.len() - 2..]
            .iter()
            .fold(f64::MAX, |a, b| a.min(*b));
        if now >= least * SETTLED {
            return Ok(now.min(least));
        }
        looks.push(now);
    }
    anyhow::bail!("it does not become quiet: {looks:?} % of a core")
}

fn task() -> JobBuilder {
    JobBuilder::new(TaskBuilder::new(PIPE, "noop").json(&serde_json::json!({"n": 1})))
}

/// Creates jobs, many a call; none may be refused.
async fn create(client: &Client, jobs: Vec<(String, JobBuilder)>) -> anyhow::Result<()> {
    let entries = jobs
        .into_iter()
        .map(|(job_id, builder)| BatchCreateJobsEntry {
            job_id,
            spec: Some(builder.build()),
            ..BatchCreateJobsEntry::default()
        });
    let entries: Vec<_> = entries.collect();
    for call in entries.chunks(CALL) {
        let results = client.create_jobs(PARTITION, call.to_vec()).await?;
        for result in results {
            result.context("a job is refused")?;
        }
    }
    Ok(())
}

/// How long one link of a chain takes, from the start of the first job to the end of the last, in
/// milliseconds.
async fn chain(client: &Client, links: usize) -> anyhow::Result<f64> {
    // The last comes first, so that nothing runs before all is there.
    let id = |link: usize| format!("link-{link}");
    let later = (1..=links)
        .rev()
        .map(|link| (id(link), task().after(named(id(link - 1)))));
    create(client, later.collect()).await?;
    let begin = Instant::now();
    create(client, vec![(id(0), task())]).await?;
    let last = JobName::new(PARTITION, id(links))?;
    let job = jobs::ended(client, &last).await?;
    let elapsed = begin.elapsed();
    anyhow::ensure!(
        job.state() == JobState::Completed,
        "the chain broke: {job:?}"
    );
    Ok(elapsed.as_secs_f64() * 1000.0 / links as f64)
}

/// How many prerequisites of one job are created, run and settled in a second.
async fn fan_in(client: &Client, count: usize) -> anyhow::Result<f64> {
    let id = |number: usize| format!("part-{number}");
    let all = (0..count).fold(task(), |all, number| all.after(named(id(number))));
    create(client, vec![("all".to_owned(), all)]).await?;
    let begin = Instant::now();
    create(
        client,
        (0..count).map(|number| (id(number), task())).collect(),
    )
    .await?;
    let job = jobs::ended(client, &JobName::new(PARTITION, "all")?).await?;
    anyhow::ensure!(
        job.state() == JobState::Completed,
        "it did not run: {job:?}"
    );
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}

/// Makes many jobs wait for one that does not come.
async fn wait_for_one(client: &Client, count: usize) -> anyhow::Result<()> {
    for first in (0..count).step_by(CALL) {
        let jobs = (first..count.min(first + CALL))
            .map(|number| (format!("wait-{number}"), task().after(named("never"))));
        create(client, jobs.collect()).await?;
    }
    let waiting = client.count_jobs(PARTITION).await?;
    let waiting: i64 = waiting.iter().map(|state| state.job_count).sum();
    let expected = i64::try_from(count).context("a count")?;
    anyhow::ensure!(waiting == expected, "{waiting} jobs wait, not {expected}");
    Ok(())
}

fn named(id: impl std::fmt::Display) -> String {
    format!("partitions/{PARTITION}/jobs/{id}")
}
