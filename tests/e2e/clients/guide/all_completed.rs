use std::collections::BTreeMap;

use futures::StreamExt;
use headway_client::{
    Client, Error,
    v1::{Job, JobState, WatchJobsRequest},
};

/// Follows a partition until all of its jobs have completed, at least one of them.
pub async fn all_completed(client: &Client, partition: &str) -> Result<usize, Error> {
    let mut updates = client.watch_jobs(WatchJobsRequest {
        parent: format!("partitions/{partition}"),
        ..WatchJobsRequest::default()
    });
    let mut jobs: BTreeMap<String, Job> = BTreeMap::new();
    while let Some(update) = updates.next().await {
        let update = update?;
        if update.listing_begins {
            jobs.clear();
        }
        jobs.extend(update.jobs.into_iter().map(|job| (job.uid.clone(), job)));
        for gone in update.removed {
            jobs.remove(&gone.uid);
        }
        let completed = |job: &Job| job.state() == JobState::Completed;
        if update.listing_complete && !jobs.is_empty() && jobs.values().all(completed) {
            break;
        }
    }
    Ok(jobs.len())
}
