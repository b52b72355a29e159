//! The commands: each asks the server and prints what it says.

use futures::{Stream, StreamExt, TryStreamExt};
use headway::v1::{
    ChangeJobsRequest, CreateJobRequest, Job, JobAction, JobState, ListJobsRequest,
    ListJobsResponse, RetryJobRequest, WatchJobsRequest,
};
use headway_client::{Error, JobName, partition_name};

use crate::{
    Console,
    args::{BulkArgs, Command, Format, JobsArgs, SubmitArgs},
    dead,
    document::print,
    explore,
    failure::{ExitStatus, Failure},
    job_type,
    named::{self, Shown},
    partition,
    remote::Remote,
    schedule,
    settings::Settings,
    submit, submit_all, view, watch,
};

/// Jobs per page: each carries its payload, so that pages of the largest size would be huge.
const JOBS_PER_PAGE: u32 = 100;

/// Runs a command that needs the server.
pub async fn run(
    command: Command,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    match command {
        Command::Submit {
            job,
            wait,
            validate_only,
        } => {
            let (remote, created) = create(&job, settings, validate_only).await?;
            if wait {
                return finish(&remote, console, &created, watch::Display::Silent).await;
            }
            print(
                console,
                remote.settings.format,
                &created,
                |_| match validate_only {
                    true => format!("{} is valid\n", created.name),
                    false => format!("{}\n", created.name),
                },
            )?;
            Ok(ExitStatus::Completed)
        }
        Command::Run { job } => {
            let (remote, created) = create(&job, settings, false).await?;
            let display = match remote.settings.format {
                Format::Table => {
                    console.line(&created.name)?;
                    watch::Display::fitting(console, &remote, &[parse(&created)?])
                }
                Format::Json | Format::Yaml => watch::Display::Silent,
            };
            finish(&remote, console, &created, display).await
        }
        Command::SubmitAll { file } => submit_all::run(&file, settings, console).await,
        Command::Count { filter } => explore::count(&filter, settings, console).await,
        Command::Watch(args) => watch_jobs(&args, settings, console).await,
        Command::Get(args) => {
            named::each(
                &args,
                settings,
                console,
                "read",
                Shown::Details,
                |client, name| async move { client.get_job(&name).await },
            )
            .await
        }
        Command::Pause(args) => {
            named::each(
                &args,
                settings,
                console,
                "paused",
                Shown::Line,
                |client, name| async move { client.pause_job(&name).await },
            )
            .await
        }
        Command::Resume(args) => {
            named::each(
                &args,
                settings,
                console,
                "resumed",
                Shown::Line,
                |client, name| async move { client.resume_job(&name).await },
            )
            .await
        }
        Command::Cancel(args) => {
            named::each(
                &args,
                settings,
                console,
                "cancelled",
                Shown::Line,
                |client, name| async move { client.cancel_job(&name).await },
            )
            .await
        }
        Command::Retry {
            jobs,
            dependents,
            failures,
            validate_only,
        } => {
            let request = RetryJobRequest {
                retry_dependents: dependents,
                validate_only,
                ..RetryJobRequest::default()
            };
            named::retry(&jobs, &request, &failures, settings, console).await
        }
        Command::Bulk(args) => bulk(&args, settings, console).await,
        Command::Rm(args) => named::remove(&args, settings, console).await,
        Command::Ls {
            state,
            label,
            filter,
            order_by,
            limit,
            follow,
        } => {
            let states: Vec<i32> = state
                .into_iter()
                .map(|state| JobState::from(state).into())
                .collect();
            if follow {
                let request = WatchJobsRequest {
                    parent: partition_name(&settings.partition)?,
                    states,
                    labels: label.into_iter().collect(),
                    filter: filter.unwrap_or_default(),
                    max_listed: limit.map_or(0, |limit| i32::try_from(limit).unwrap_or(i32::MAX)),
                    ..WatchJobsRequest::default()
                };
                return explore::follow_jobs(request, settings, console).await;
            }
            let request = ListJobsRequest {
                parent: partition_name(&settings.partition)?,
                page_size: page_size(limit, JOBS_PER_PAGE),
                states,
                labels: label.into_iter().collect(),
                filter: filter.unwrap_or_default(),
                order_by: order_by.unwrap_or_default(),
                ..ListJobsRequest::default()
            };
            list(request, limit, settings, console).await
        }
        Command::Failures {
            job,
            failures: filter,
            limit,
            ndjson,
        } => {
            let wanted = dead::Wanted {
                filter,
                limit,
                ndjson,
            };
            dead::failures(&job, &wanted, settings, console).await
        }
        Command::Dead { action, which } => dead::run(action, &which, settings, console).await,
        Command::Events(args) => explore::events(&args, settings, console).await,
        Command::Batches(args) => explore::batches(&args, settings, console).await,
        Command::Pipes => explore::pipes(settings, console).await,
        Command::Schedule(command) => schedule::run(command, settings, console).await,
        Command::Type(command) => job_type::run(command, settings, console).await,
        Command::Explain(args) => explore::explain(&args, settings, console).await,
        Command::Limits(args) => partition::limits(&args, settings, console).await,
        Command::Update { jobs, changes } => {
            named::update(&jobs, &changes, settings, console).await
        }
        Command::Partition {
            action,
            retention,
            weight,
            max_open_jobs,
            max_items_in_flight,
        } => {
            let changes = partition::PartitionChanges {
                retention,
                weight,
                max_open_jobs,
                max_items_in_flight,
            };
            partition::partition(action, changes, settings, console).await
        }
        // Answered before there were settings.
        Command::Completions { .. } => Ok(ExitStatus::Completed),
    }
}

/// Checks the arguments before it connects, then creates the job.
async fn create(
    args: &SubmitArgs,
    settings: Settings,
    validate_only: bool,
) -> Result<(Remote, Job), Failure> {
    let mut request: CreateJobRequest = submit::request(args, &settings)?;
    request.validate_only |= validate_only;
    let remote = Remote::connect(settings).await?;
    match remote.client.create_job(request).await {
        Ok(job) => Ok((remote, job)),
        Err(error) => Err(remote.failure("the job was not accepted", error)),
    }
}

/// Follows a job that was just created, and tells how it ended.
async fn finish(
    remote: &Remote,
    console: &mut Console,
    created: &Job,
    mut display: watch::Display,
) -> Result<ExitStatus, Failure> {
    let name = parse(created)?;
    let ends = watch::follow(remote, console, &[name], &mut display).await?;
    if let (Format::Json | Format::Yaml, [Ok(job)]) = (remote.settings.format, ends.as_slice()) {
        print(console, remote.settings.format, job, |_| String::new())?;
    }
    Ok(watch::conclude(remote, console, &ends)?)
}

async fn watch_jobs(
    args: &JobsArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let names = named::names(args, &settings)?;
    let remote = Remote::connect(settings).await?;
    let mut display = watch::Display::fitting(console, &remote, &names);
    let ends = watch::follow(&remote, console, &names, &mut display).await?;
    Ok(watch::conclude(&remote, console, &ends)?)
}

/// Changes all jobs that match, or says how many there are.
async fn bulk(
    args: &BulkArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let request = ChangeJobsRequest {
        parent: partition_name(&settings.partition)?,
        action: JobAction::from(args.action).into(),
        filter: args.filter.clone().unwrap_or_default(),
        all: args.all,
        validate_only: args.validate_only,
        ..ChangeJobsRequest::default()
    };
    let remote = Remote::connect(settings).await?;
    let answer = remote.client.change_jobs(request).await;
    let answer = answer.map_err(|error| remote.failure("cannot change the jobs", error))?;
    match answer.job.as_ref().filter(|_| args.wait) {
        Some(job) => finish(&remote, console, job, watch::Display::Silent).await,
        None => {
            print(console, remote.settings.format, &answer, |_| {
                view::changed(&answer, &remote.settings.partition)
            })?;
            Ok(ExitStatus::Completed)
        }
    }
}

async fn list(
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

pub async fn gather<T>(
    items: impl Stream<Item = Result<T, Error>>,
    limit: Option<u32>,
) -> Result<Vec<T>, Error> {
    let most = limit.and_then(|limit| usize::try_from(limit).ok());
    items.take(most.unwrap_or(usize::MAX)).try_collect().await
}

pub fn page_size(limit: Option<u32>, usual: u32) -> i32 {
    let size = limit.map_or(usual, |limit| limit.min(usual));
    i32::try_from(size).unwrap_or(i32::MAX)
}

/// The name of a job that the server made.
fn parse(job: &Job) -> Result<JobName, Failure> {
    Ok(job.name.parse()?)
}
