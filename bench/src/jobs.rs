//! The jobs that are measured, and whether they ended as they must.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::StreamExt;
use headway_client::{
    BatchBuilder, Client, JobBuilder, JobName, TaskBuilder, create_request, is_final,
    v1::{CreateJobRequest, Job, JobState},
};

/// How a batch of integers is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Items.
    pub items: u64,
    /// Items in one message.
    pub per_message: i32,
    /// Items that may be out at once.
    pub window: i32,
}

/// A request for a job under this id.
pub(crate) fn request(partition: &str, id: &str, builder: JobBuilder) -> CreateJobRequest {
    CreateJobRequest {
        job_id: id.to_owned(),
        ..create_request(partition, builder.build())
    }
}

/// A batch of integers.
pub(crate) fn batch(
    partition: &str,
    id: &str,
    pipe: &str,
    shape: Shape,
) -> anyhow::Result<CreateJobRequest> {
    let batch = BatchBuilder::new("range")
        .json(&serde_json::json!({"from": 0, "to": shape.items}))
        .item(pipe, "noop");
    let builder = JobBuilder::new(batch)
        .items_per_message(shape.per_message)
        .max_in_flight(shape.window);
    Ok(request(partition, id, builder))
}

/// A single task.
pub(crate) fn task(partition: &str, id: &str, pipe: &str, kind: &str) -> CreateJobRequest {
    let task = TaskBuilder::new(pipe, kind).json(&serde_json::json!({"n": 1}));
    request(partition, id, JobBuilder::new(task))
}

/// Creates a job and waits for its end; the seconds from the call to the arrival of the final
/// state. Its counts are exact, or it is an error.
pub(crate) async fn run(
    client: &Client,
    partition: &str,
    id: &str,
    pipe: &str,
    shape: Shape,
) -> anyhow::Result<f64> {
    let request = batch(partition, id, pipe, shape)?;
    let begin = Instant::now();
    client.create_job(request).await?;
    let name = JobName::new(partition, id)?;
    let job = ended(client, &name).await?;
    let seconds = begin.elapsed().as_secs_f64();
    check(&job, shape.items)?;
    Ok(seconds)
}

/// The final state of a job.
pub(crate) async fn ended(client: &Client, name: &JobName) -> anyhow::Result<Job> {
    let mut states = client.watch(name, None);
    while let Some(state) = states.next().await {
        let job = state?;
        if is_final(job.state()) {
            return Ok(job);
        }
    }
    anyhow::bail!("the watch of {name} ended before the job did")
}

/// Whether a job ended with every item done, none twice.
pub(crate) fn check(job: &Job, items: u64) -> anyhow::Result<()> {
    let progress = job.progress.as_ref().context("a job without progress")?;
    let items = i64::try_from(items)?;
    let exact = job.state() == JobState::Completed
        && progress.items_known == items
        && progress.items_done == items
        && progress.items_failed == 0
        && progress.items_discarded == 0
        && progress.items_open == 0
        && progress.percentage == 100.0;
    anyhow::ensure!(
        exact,
        "{} should have ended with {items} items done, but is {:?} with {} known, {} done, {} failed, {} discarded, \
         {} open, {} %",
        job.name,
        job.state(),
        progress.items_known,
        progress.items_done,
        progress.items_failed,
        progress.items_discarded,
        progress.items_open,
        progress.percentage,
    );
    Ok(())
}

/// Cancels a job and waits until nothing of it runs any more.
pub(crate) async fn cancel(client: &Client, name: &JobName) -> anyhow::Result<()> {
    let mut job = client.cancel_job(name).await?;
    while job.settled_time.is_none() {
        // The watch ends with the final state, which comes before this.
        tokio::time::sleep(Duration::from_millis(20)).await;
        job = client.get_job(name).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use headway_client::v1::JobProgress;

    use super::*;

    #[test]
    fn inexact_counts_are_found() {
        let progress = JobProgress {
            items_known: 5,
            items_done: 5,
            percentage: 100.0,
            ..JobProgress::default()
        };
        let job = |state: JobState, progress: JobProgress| Job {
            state: state.into(),
            progress: Some(progress),
            ..Job::default()
        };
        assert!(check(&job(JobState::Completed, progress), 5).is_ok());
        let bad = [
            job(
                JobState::Completed,
                JobProgress {
                    items_done: 6,
                    ..progress
                },
            ),
            job(
                JobState::Completed,
                JobProgress {
                    items_known: 6,
                    ..progress
                },
            ),
            job(
                JobState::Completed,
                JobProgress {
                    items_failed: 1,
                    ..progress
                },
            ),
            job(JobState::Failed, progress),
            Job::default(),
        ];
        for job in bad {
            assert!(check(&job, 5).is_err(), "{job:?}");
        }
    }
}
