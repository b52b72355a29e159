//! k: what the death of a worker costs. A supervisor starts each worker again that dies.
//!
//! | key | what it is |
//! |---|---|
//! | `k.killed_s` | from the SIGKILL of one of two workers, each of which runs 64 items of 1 s, until all 128 are done |
//! | `k.new_job_s` | from the same moment until a job of 64 such items, created then, is done |
//! | `k.killed_ratio` | 4,000 items of 50 ms at 64 slots, with a SIGKILL half-way: the time beside the undisturbed time |
//! | `k.killers_s` | 1,000 items of which 3 kill their process: until 997 are done and 3 ended as POISON |
//! | `k.killers_deaths` | how many processes that cost |
//! | `k.killers_most_runs` | the most starts of an item that kills nobody |

use std::{
    collections::BTreeMap,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context;
use headway_client::{
    BatchBuilder, Client, JobBuilder, JobName,
    v1::{CreateJobRequest, JobState},
};
use tokio::process::{Child, Command};

use super::Bench;
use crate::{
    cluster::{Cluster, PIPE},
    jobs,
    report::Row,
    sizes::Crashes,
    sleeper::{KILL, KILLER, KILLER_EVERY, SLEEP},
};

const PARTITION: &str = "bench";

/// Workers that a supervisor watches over.
struct Fleet<'a> {
    cluster: &'a Cluster,
    record: &'a Path,
    sizes: Crashes,
}

impl Fleet<'_> {
    fn worker(&self) -> anyhow::Result<Child> {
        let child = Command::new(std::env::current_exe()?)
            .args(["role", "sleeper", "--pipe", PIPE])
            .args(["--concurrency", &self.sizes.slots.to_string()])
            .arg("--record")
            .arg(self.record)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .envs(self.cluster.settings(None))
            .spawn()?;
        Ok(child)
    }

    /// How often each item of a job was started.
    fn runs(&self, job: &str) -> BTreeMap<u64, u32> {
        let text = std::fs::read_to_string(self.record).unwrap_or_default();
        let mut runs = BTreeMap::new();
        for line in text.lines() {
            if let Some((_, number)) = line.split_once(' ').filter(|(of, _)| *of == job)
                && let Ok(number) = number.parse()
            {
                *runs.entry(number).or_default() += 1;
            }
        }
        runs
    }

    async fn until_started(&self, job: &str, items: u64) {
        while (self.runs(job).len() as u64) < items {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn end(&self, mut worker: Child) -> anyhow::Result<()> {
        drop(worker.stdin.take());
        worker.wait().await?;
        Ok(())
    }
}

fn batch(id: &str, items: u64, kind: String) -> anyhow::Result<CreateJobRequest> {
    let batch = BatchBuilder::new("range")
        .json(&serde_json::json!({"from": 0, "to": items}))
        .item(PIPE, kind);
    Ok(jobs::request(PARTITION, id, JobBuilder::new(batch)))
}

async fn done(client: &Client, id: &str, items: u64) -> anyhow::Result<()> {
    let job = jobs::ended(client, &JobName::new(PARTITION, id)?).await?;
    jobs::check(&job, items)
}

/// Measures all of it.
pub(crate) async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let sizes = bench.sizes.crashes;
    let services = bench.services()?;
    let folder = tempfile::tempdir()?;
    let record = folder.path().join("starts");
    let rows = Cluster::with(&services, "k", false, async |cluster: &mut Cluster| {
        let fleet = Fleet {
            cluster,
            record: &record,
            sizes,
        };
        let mut rows = Vec::from(one_of_two(&fleet).await?);
        rows.push(half_way(&fleet).await?);
        rows.extend(killers(&fleet).await?);
        Ok(rows)
    })
    .await?;
    for row in rows {
        bench.add(row);
    }
    Ok(())
}

async fn one_of_two(fleet: &Fleet<'_>) -> anyhow::Result<[Row; 2]> {
    let client = &fleet.cluster.client;
    let slots = fleet.sizes.slots as u64;
    let kind = || format!("{SLEEP}{}", fleet.sizes.long_ms);
    let (mut doomed, other) = (fleet.worker()?, fleet.worker()?);
    client
        .create_job(batch("k-old", 2 * slots, kind())?)
        .await?;
    fleet.until_started("k-old", 2 * slots).await;
    let begin = Instant::now();
    doomed.kill().await?;
    let again = fleet.worker()?;
    client.create_job(batch("k-new", slots, kind())?).await?;
    let seconds = async |id: &str, items| {
        done(client, id, items).await?;
        anyhow::Ok(begin.elapsed().as_secs_f64())
    };
    let (old, new) = tokio::try_join!(seconds("k-old", 2 * slots), seconds("k-new", slots))?;
    fleet.end(again).await?;
    fleet.end(other).await?;
    Ok([
        Row::new("k.killed_s", old).at_most(4.0),
        Row::new("k.new_job_s", new).at_most(3.0),
    ])
}

async fn half_way(fleet: &Fleet<'_>) -> anyhow::Result<Row> {
    let client = &fleet.cluster.client;
    let (items, kind) = (
        fleet.sizes.items,
        format!("{SLEEP}{}", fleet.sizes.short_ms),
    );
    let mut worker = fleet.worker()?;
    client
        .create_job(batch("k-first", items / 10, kind.clone())?)
        .await?;
    done(client, "k-first", items / 10).await?;
    let mut seconds = [0.0; 2];
    for (turn, taken) in seconds.iter_mut().enumerate() {
        let id = format!("k-half-{turn}");
        let begin = Instant::now();
        client.create_job(batch(&id, items, kind.clone())?).await?;
        if turn == 1 {
            fleet.until_started(&id, items / 2).await;
            worker.kill().await?;
            worker = fleet.worker()?;
        }
        done(client, &id, items).await?;
        *taken = begin.elapsed().as_secs_f64();
    }
    fleet.end(worker).await?;
    let [undisturbed, killed] = seconds;
    eprintln!("  {undisturbed:.2} s undisturbed, {killed:.2} s with a kill");
    Ok(Row::new("k.killed_ratio", killed / undisturbed).at_most(1.5))
}

async fn killers(fleet: &Fleet<'_>) -> anyhow::Result<[Row; 3]> {
    let client = &fleet.cluster.client;
    let items = fleet.sizes.among;
    let killers = (0..items).filter(|number| number % KILLER_EVERY == KILLER);
    let killers = i64::try_from(killers.count())?;
    let begin = Instant::now();
    client
        .create_job(batch("k-killers", items, format!("{KILL}1"))?)
        .await?;
    let mut deaths = 0;
    let name = JobName::new(PARTITION, "k-killers")?;
    let mut ended = std::pin::pin!(jobs::ended(client, &name));
    let job = loop {
        let mut worker = fleet.worker()?;
        // Waiting for a child closes its input, which would tell this one to end.
        let input = worker.stdin.take();
        let ended = tokio::select! {
            ended = ended.as_mut() => ended?,
            died = worker.wait() => {
                died?;
                deaths += 1;
                continue;
            }
        };
        drop(input);
        fleet.end(worker).await?;
        break ended;
    };
    let seconds = begin.elapsed().as_secs_f64();
    let progress = job.progress.as_ref().context("a job without progress")?;
    let counts = (progress.items_done, progress.items_failed);
    anyhow::ensure!(
        job.state() == JobState::Failed && counts == (i64::try_from(items)? - killers, killers),
        "{counts:?} items are done and failed, of {items} with {killers} killers"
    );
    let poisoned = job
        .failure_sample
        .iter()
        .all(|failure| failure.code == "POISON");
    anyhow::ensure!(poisoned, "{:?}", job.failure_sample);
    let runs = fleet.runs("k-killers");
    let innocent = runs
        .iter()
        .filter(|(number, _)| *number % KILLER_EVERY != KILLER);
    let most = innocent.map(|(_, runs)| *runs).max().unwrap_or_default();
    Ok([
        Row::new("k.killers_s", seconds),
        Row::new("k.killers_deaths", f64::from(deaths)).at_most(12.0),
        Row::new("k.killers_most_runs", f64::from(most)).at_most(3.0),
    ])
}
