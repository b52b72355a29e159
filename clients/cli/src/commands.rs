//! The commands: each asks the server and prints what it says.

use futures::{Stream, StreamExt, TryStreamExt};
use headway::v1::{
    BatchChangeJobsRequest, CreateJobRequest, Job, JobState, ListJobsRequest, ListJobsResponse,
    RetryJobRequest, WatchJobsRequest,
};
use headway_client::{Client, Error, JobName, partition_name};

use crate::{
    Console,
    args::{BulkArgs, Command, Format, JobsArgs, SubmitArgs, UpdateArgs},
    dead,
    document::print,
    explore,
    failure::{ExitStatus, Failure},
    job_type, partition,
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
            each(
                &args,
                settings,
                console,
                "read",
                |client, name| async move { client.get_job(&name).await },
            )
            .await
        }
        Command::Pause(args) => {
            each(
                &args,
                settings,
                console,
                "paused",
                |client, name| async move { client.pause_job(&name).await },
            )
            .await
        }
        Command::Resume(args) => {
            each(
                &args,
                settings,
                console,
                "resumed",
                |client, name| async move { client.resume_job(&name).await },
            )
            .await
        }
        Command::Cancel(args) => {
            each(
                &args,
                settings,
                console,
                "cancelled",
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
            each(&jobs, settings, console, "retried", |client, name| {
                let request = RetryJobRequest {
                    name: name.to_string(),
                    retry_dependents: dependents,
                    filter: dead::filter(&failures, &name),
                    validate_only,
                };
                async move { client.retry_failures(request).await }
            })
            .await
        }
        Command::Bulk(args) => bulk(&args, settings, console).await,
        Command::Rm(args) => remove(&args, settings, console).await,
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
        Command::Update { jobs, changes } => update(&jobs, &changes, settings, console).await,
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
    let names = names(args, &settings)?;
    let remote = Remote::connect(settings).await?;
    let mut display = watch::Display::fitting(console, &remote, &names);
    let ends = watch::follow(&remote, console, &names, &mut display).await?;
    Ok(watch::conclude(&remote, console, &ends)?)
}

/// Does the same to each job and prints it. One that fails does not keep the others from it.
async fn each<Call, Answer>(
    args: &JobsArgs,
    settings: Settings,
    console: &mut Console,
    what: &'static str,
    call: Call,
) -> Result<ExitStatus, Failure>
where
    Call: Fn(Client, JobName) -> Answer,
    Answer: Future<Output = Result<Job, Error>>,
{
    let names = names(args, &settings)?;
    let remote = Remote::connect(settings).await?;
    let mut worst = ExitStatus::Completed;
    for name in names {
        let error = match call(remote.client.clone(), name.clone()).await {
            Ok(job) => {
                print(
                    console,
                    remote.settings.format,
                    &job,
                    |console| match what {
                        "read" => view::details(&job, console.time_zone()),
                        _ => view::line(&job, &remote.settings.partition) + "\n",
                    },
                )?;
                continue;
            }
            Err(error) => error,
        };
        worst = tell(console, &remote.job_failure(&name, what, error), worst)?;
    }
    Ok(worst)
}

async fn remove(
    args: &JobsArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let names = names(args, &settings)?;
    let remote = Remote::connect(settings).await?;
    let mut worst = ExitStatus::Completed;
    for name in names {
        match remote.client.delete_job(&name).await {
            // The API answers with an empty message: there is no document to print.
            Ok(()) if remote.settings.format == Format::Table => {
                console.line(&format!("deleted {name}"))?;
            }
            Ok(()) => {}
            Err(error) => {
                worst = tell(console, &remote.job_failure(&name, "deleted", error), worst)?;
            }
        }
    }
    Ok(worst)
}

/// Changes some of what jobs are to do.
async fn update(
    jobs: &JobsArgs,
    changes: &UpdateArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    each(
        jobs,
        settings,
        console,
        "updated",
        |client, name| async move {
            // What is said is put upon what the job has.
            let mut spec = client.get_job(&name).await?.spec.unwrap_or_default();
            let paths = submit::apply_changes(changes, &mut spec);
            client.update_job(&name, spec, &paths).await
        },
    )
    .await
}

/// Changes all jobs that match, or says how many there are.
async fn bulk(
    args: &BulkArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let request = BatchChangeJobsRequest {
        parent: partition_name(&settings.partition)?,
        filter: args.filter.clone().unwrap_or_default(),
        all: args.all,
        validate_only: args.validate_only,
        ..BatchChangeJobsRequest::default()
    };
    let remote = Remote::connect(settings).await?;
    let answer = remote.client.change_jobs(args.action.into(), request).await;
    let answer = answer.map_err(|error| remote.failure("the jobs are not changed", error))?;
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
    let jobs = gather(remote.client.jobs(request), limit).await;
    let jobs = jobs.map_err(|error| remote.failure("the jobs could not be listed", error))?;
    let response = ListJobsResponse {
        jobs,
        next_page_token: String::new(),
    };
    let Settings {
        format, partition, ..
    } = &remote.settings;
    print(console, *format, &response, |console| {
        view::jobs(&response.jobs, partition, console)
    })?;
    Ok(ExitStatus::Completed)
}

/// Prints a failure among several jobs, and says which status is the worst so far.
fn tell(
    console: &mut Console,
    failure: &Failure,
    worst: ExitStatus,
) -> std::io::Result<ExitStatus> {
    console.error(&failure.to_string())?;
    let status = failure.status();
    Ok(std::cmp::max_by_key(worst, status, |status| {
        u8::from(*status)
    }))
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

fn names(args: &JobsArgs, settings: &Settings) -> Result<Vec<JobName>, Failure> {
    let names = args.jobs.iter();
    names.map(|job| Remote::name(job, settings)).collect()
}

/// The name of a job that the server made.
fn parse(job: &Job) -> Result<JobName, Failure> {
    Ok(job.name.parse()?)
}
