//! The commands that look at what is around jobs: followed lists, the audit log, batches, pipes.

use futures::{StreamExt, TryStreamExt};
use headway::v1::{
    CountJobsResponse, ListBatchesRequest, ListBatchesResponse, ListEventsRequest,
    ListEventsResponse, ListPipesResponse, WatchEventsRequest, WatchJobsRequest,
};
use headway_client::{JobName, partition_name};

use crate::{
    Console,
    args::{BatchesArgs, EventsArgs, Format, JobsArgs},
    document::{Layout, print, render},
    failure::{ExitStatus, Failure},
    remote::Remote,
    settings::Settings,
    view, view_explore,
};

/// Batches and events per page.
const PER_PAGE: i32 = 500;

/// How each message of a stream is printed.
pub fn layout(format: Format) -> Option<Layout> {
    match format {
        Format::Table => None,
        Format::Json => Some(Layout::JsonLine),
        Format::Yaml => Some(Layout::Yaml),
    }
}

/// Counts the jobs that match by state.
pub async fn count(
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
        view_explore::counts(&response.counts, partition, console)
    })?;
    Ok(ExitStatus::Completed)
}

/// Lists the jobs that match and tells of every change, until it is interrupted or the server is lost for long.
pub async fn follow_jobs(
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

/// Prints the audit log of the partition or of a job, and what follows if that is asked for.
pub async fn events(
    args: &EventsArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let parent = match &args.job {
        Some(job) => Remote::name(job, &settings)?.to_string(),
        None => partition_name(&settings.partition)?,
    };
    let remote = Remote::connect(settings).await?;
    if args.follow {
        return follow_events(args, parent, &remote, console).await;
    }
    let limit = args.limit.and_then(|limit| usize::try_from(limit).ok());
    let listed = remote.client.events(ListEventsRequest {
        parent,
        page_size: PER_PAGE,
        after: args.after.clone().unwrap_or_default(),
        kinds: args.kind.iter().map(|kind| (*kind).into()).collect(),
        ..ListEventsRequest::default()
    });
    let listed = listed.take(limit.unwrap_or(usize::MAX)).try_collect().await;
    let events: Vec<_> = listed.map_err(|error| remote.failure("cannot list the events", error))?;
    let response = ListEventsResponse {
        events,
        ..ListEventsResponse::default()
    };
    let format = remote.settings.format;
    print(console, format, &response, |console| {
        view_explore::events(&response.events, &remote.settings.partition, console)
    })?;
    Ok(ExitStatus::Completed)
}

async fn follow_events(
    args: &EventsArgs,
    parent: String,
    remote: &Remote,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let mut watch = remote.client.watch_events(WatchEventsRequest {
        parent,
        after: args.after.clone().unwrap_or_default(),
        kinds: args.kind.iter().map(|kind| (*kind).into()).collect(),
        ..WatchEventsRequest::default()
    });
    let mut left = args.limit.unwrap_or(u32::MAX);
    while left > 0 {
        let Some(event) = watch.next().await else {
            break;
        };
        let event =
            event.map_err(|error| remote.failure("the events cannot be followed", error))?;
        match layout(remote.settings.format) {
            None => {
                let zone = console.time_zone().clone();
                let line = view_explore::event_line(&event, &remote.settings.partition, &zone);
                console.line(&line)?;
            }
            Some(layout) => console.text(&render(&event, layout)?)?,
        }
        left -= 1;
    }
    Ok(ExitStatus::Completed)
}

/// Prints the children of a batch of a job, or the root and its children.
pub async fn batches(
    args: &BatchesArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let name: JobName = Remote::name(&args.job, &settings)?;
    let remote = Remote::connect(settings).await?;
    let parents = match args.of {
        Some(number) => vec![format!("{name}/batches/{number}")],
        None => vec![name.to_string(), format!("{name}/batches/1")],
    };
    let limit = args.limit.and_then(|limit| usize::try_from(limit).ok());
    let mut batches = Vec::new();
    for parent in parents {
        let listed = remote.client.batches(ListBatchesRequest {
            parent,
            page_size: PER_PAGE,
            ..ListBatchesRequest::default()
        });
        let left = limit.unwrap_or(usize::MAX).saturating_sub(batches.len());
        let listed: Result<Vec<_>, _> = listed.take(left).try_collect().await;
        let listed =
            listed.map_err(|error| remote.job_failure(&name, "searched for batches", error))?;
        batches.extend(listed);
    }
    let response = ListBatchesResponse {
        batches,
        ..ListBatchesResponse::default()
    };
    print(console, remote.settings.format, &response, |console| {
        view_explore::batches(&response.batches, console)
    })?;
    Ok(ExitStatus::Completed)
}

/// Prints the pipes that the partition's jobs have used.
pub async fn pipes(settings: Settings, console: &mut Console) -> Result<ExitStatus, Failure> {
    partition_name(&settings.partition)?;
    let remote = Remote::connect(settings).await?;
    let listed = remote.client.pipes(&remote.settings.partition);
    let listed: Result<Vec<_>, _> = listed.try_collect().await;
    let pipes = listed.map_err(|error| remote.failure("cannot list the pipes", error))?;
    let response = ListPipesResponse {
        pipes,
        next_page_token: String::new(),
    };
    let partition = &remote.settings.partition;
    print(console, remote.settings.format, &response, |console| {
        view_explore::pipes(&response.pipes, partition, console)
    })?;
    Ok(ExitStatus::Completed)
}

/// Says of each job what it waits for.
pub async fn explain(
    args: &JobsArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let names: Vec<JobName> = args
        .jobs
        .iter()
        .map(|job| Remote::name(job, &settings))
        .collect::<Result<_, _>>()?;
    let remote = Remote::connect(settings).await?;
    for name in names {
        let explained = remote.client.explain_job(&name).await;
        let what = format!("job {name} cannot be explained");
        let explained = explained.map_err(|error| remote.failure(&what, error))?;
        let partition = &remote.settings.partition;
        print(console, remote.settings.format, &explained, |console| {
            view_explore::explanation(&explained, partition, console)
        })?;
    }
    Ok(ExitStatus::Completed)
}
