//! Part of m: the rate of a batch alone, and beside the deletion of many jobs. Machines are not as
//! quick at each moment and deletions take minutes, so the two take turns.

use std::time::Instant;

use anyhow::Context;
use futures::StreamExt;
use headway_client::{
    Client, Code, JobName, is_final,
    v1::{ChangeJobsRequest, JobAction},
};

use crate::{
    cluster::PIPE,
    jobs::{self, Shape},
    report::Row,
    sizes::Sizes,
};

/// Batches beside the deletions between two alone.
const BESIDE: usize = 3;

/// Measures, with jobs of [`super::many`] to delete.
pub(crate) async fn measure(client: &Client, sizes: Sizes) -> anyhow::Result<Vec<Row>> {
    let shape = Shape {
        items: sizes.items,
        per_message: 1,
        window: sizes.window,
    };
    let run = async |id: String| {
        let seconds = jobs::run(client, "bench", &id, PIPE, shape).await?;
        let rate = sizes.items as f64 / seconds;
        eprintln!("  {id}: {rate:.0} items/s");
        anyhow::Ok(rate)
    };
    run("warm-up".to_owned()).await?;
    let mut alone = vec![run("alone-0".to_owned()).await?];
    let mut beside = Vec::new();
    let mut begin = Instant::now();
    let mut seconds = 0.0;
    let deletions = Deletions::begin(client, sizes).await?;
    loop {
        for _ in 0..BESIDE {
            beside.push(run(format!("beside-{}", beside.len())).await?);
            if deletions.ended().await? {
                break;
            }
        }
        let ended = deletions.rest().await?;
        seconds += begin.elapsed().as_secs_f64();
        alone.push(run(format!("alone-{}", alone.len())).await?);
        if ended {
            break;
        }
        begin = Instant::now();
        deletions.go_on().await?;
    }
    if beside.len() > 1 {
        // The last one ran on when nothing was left to delete.
        beside.pop();
    }
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    let alone = mean(&alone);
    let deleted = (deletions.jobs.len() * sizes.many.1) as f64;
    Ok(vec![
        Row::new("m.batch_items_per_s_alone", alone),
        Row::new("m.batch_items_per_s_while_deleting", mean(&beside)).at_least_of(0.8, Some(alone)),
        Row::new("m.deletes_per_s", deleted / seconds),
    ])
}

/// The jobs that delete, one for each partition.
struct Deletions<'a> {
    client: &'a Client,
    jobs: Vec<JobName>,
}

impl<'a> Deletions<'a> {
    async fn begin(client: &'a Client, sizes: Sizes) -> anyhow::Result<Self> {
        let mut jobs = Vec::new();
        for partition in 0..sizes.deleted.div_ceil(sizes.many.1) {
            let request = ChangeJobsRequest {
                action: JobAction::Delete.into(),
                parent: format!("partitions/p{partition}"),
                filter: "id = j*".to_owned(),
                ..ChangeJobsRequest::default()
            };
            let answer = client.change_jobs(request).await?;
            let job = answer.job.context("a change of many jobs without a job")?;
            jobs.push(job.name.parse()?);
        }
        Ok(Self { client, jobs })
    }

    async fn ended(&self) -> anyhow::Result<bool> {
        for job in &self.jobs {
            if !is_final(self.client.get_job(job).await?.state()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Pauses them and waits until nothing of them runs; whether all of them have ended.
    async fn rest(&self) -> anyhow::Result<bool> {
        for job in &self.jobs {
            match self.client.pause_job(job).await {
                // It ended.
                Err(error) if error.code() == Code::FailedPrecondition => {}
                paused => drop(paused?),
            }
        }
        for job in &self.jobs {
            let mut states = self.client.watch(job, None);
            while let Some(state) = states.next().await {
                let progress = state?.progress.unwrap_or_default();
                if progress.items_in_flight == 0 {
                    break;
                }
            }
        }
        self.ended().await
    }

    async fn go_on(&self) -> anyhow::Result<()> {
        for job in &self.jobs {
            if !is_final(self.client.get_job(job).await?.state()) {
                self.client.resume_job(job).await?;
            }
        }
        Ok(())
    }
}
