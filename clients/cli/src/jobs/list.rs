//! The commands that list, follow and count jobs.

use futures::StreamExt;
use headway::v1::{CountJobsResponse, ListJobsRequest, ListJobsResponse, WatchJobsRequest};
use headway_client::{Error, partition_name};

use super::view;
use crate::{
    Console,
    args::Format,
    failure::{ExitStatus, Failure},
    output::document::{layout, print, render},
    remote::Remote,
    settings::Settings,
};

pub(crate) async fn list(
    request: ListJobsRequest,
    limit: Option<u32>,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let remote = Remote::connect(settings).await?;
    let listed = list_all(&remote, request, limit).await;
    let response = listed.map_err(|error| remote.failure("cannot list the jobs", error))?;
    let Settings {
        format, partition, ..
    } = &remote.settings;
    print(console, *format, &response, |console| {
        let table = view::jobs(&response, partition, console);
        table + &view::unreadable(&response.unreadable, partition)
    })?;
    Ok(ExitStatus::Completed)
}

/// The jobs of all pages, or as many as are asked for, and those that the server cannot read.
async fn list_all(
    remote: &Remote,
    mut request: ListJobsRequest,
    limit: Option<u32>,
) -> Result<ListJobsResponse, Error> {
    let most = limit.and_then(|limit| usize::try_from(limit).ok());
    let most = most.unwrap_or(usize::MAX);
    let mut all = ListJobsResponse::default();
    while all.jobs.len() < most {
        let page = remote.client.list_jobs(request.clone()).await?;
        all.jobs.extend(page.jobs);
        all.unreadable.extend(page.unreadable);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    all.jobs.truncate(most);
    Ok(all)
}

/// Counts the jobs that match by state.
pub(crate) async fn count(
    filter: &str,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    partition_name(&settings.partition)?;
    let remote = Remote::connect(settings).await?;
    let partition = &remote.settings.partition;
    let counts = remote.client.count_jobs_like(partition, filter).await;
    let counts = counts.map_err(|error| remote.failure("cannot count the jobs", error))?;
    let response = CountJobsResponse { counts };
    print(console, remote.settings.format, &response, |console| {
        view::counts(&response.counts, partition, console)
    })?;
    Ok(ExitStatus::Completed)
}

/// Lists the jobs that match and tells of every change, until it is interrupted or the server is
/// lost for long.
pub(crate) async fn follow_jobs(
    request: WatchJobsRequest,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let remote = Remote::connect(settings).await?;
    let partition = remote.settings.partition.clone();
    let mut updates = remote.client.watch_jobs(request);
    while let Some(update) = updates.next().await {
        let update =
            update.map_err(|error| remote.failure("the jobs cannot be followed", error))?;
        for job in &update.jobs {
            match layout(remote.settings.format) {
                None => console.line(&view::line(job, &partition))?,
                Some(layout) => console.text(&render(job, layout)?)?,
            }
        }
        // Documents are of jobs: one that is gone has none.
        for gone in &update.removed {
            if remote.settings.format == Format::Table {
                let how = match gone.deleted {
                    true => "was deleted",
                    false => "no longer matches",
                };
                console.line(&format!("{} {how}", view::label(&gone.name, &partition)))?;
            }
        }
    }
    Ok(ExitStatus::Completed)
}
