use futures::StreamExt;
use headway_client::{Client, Error, JobName};

/// Prints a job's progress to its end.
pub async fn follow(client: &Client, job: &JobName) -> Result<(), Error> {
    let mut states = client.watch(job, None);
    while let Some(state) = states.next().await {
        let state = state?;
        let progress = state.progress.unwrap_or_default();
        println!("{} of {} items", progress.items_done, progress.items_known);
    }
    Ok(())
}
