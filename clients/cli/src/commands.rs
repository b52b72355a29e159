//! Which command does what.

use std::collections::BTreeMap;

use headway::v1::{JobState, ListJobsRequest, RetryJobRequest, WatchJobsRequest};
use headway_client::{JobFilter, partition_name};

use crate::{
    Console,
    args::{Command, Format, JobsArgs},
    batches, events,
    failure::{ExitStatus, Failure},
    job_types,
    jobs::{
        bulk::bulk,
        control::{self, Shown},
        create::{create, finish, parse},
        explain::explain,
        failures, list, submit_all,
    },
    output::document::print,
    partitions, pipes,
    remote::{Remote, page_size},
    schedules,
    settings::Settings,
    watch,
};

/// Jobs per page: each carries its payload, so that pages of the largest size would be huge.
const JOBS_PER_PAGE: u32 = 100;

/// Runs a command that needs the server.
pub(crate) async fn run(
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
        Command::Count { filter } => list::count(&filter, settings, console).await,
        Command::Watch(args) => watch_jobs(&args, settings, console).await,
        Command::Get(args) => {
            control::each(
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
            control::each(
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
            control::each(
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
            control::each(
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
            control::retry(&jobs, &request, &failures, settings, console).await
        }
        Command::Bulk(args) => bulk(&args, settings, console).await,
        Command::Rm(args) => control::remove(&args, settings, console).await,
        Command::Ls {
            state,
            label,
            filter,
            order_by,
            limit,
            follow,
        } => {
            let labels = label.into_iter().collect::<BTreeMap<_, _>>();
            let filter = labels
                .iter()
                .fold(JobFilter::new(), |filter, (key, value)| {
                    filter.label(key, value)
                })
                .states(state.into_iter().map(JobState::from))
                .matching(filter.as_deref().unwrap_or_default())
                .build();
            if follow {
                let request = WatchJobsRequest {
                    parent: partition_name(&settings.partition)?,
                    filter,
                    max_listed: limit.map_or(0, |limit| i32::try_from(limit).unwrap_or(i32::MAX)),
                    ..WatchJobsRequest::default()
                };
                return list::follow_jobs(request, settings, console).await;
            }
            let request = ListJobsRequest {
                parent: partition_name(&settings.partition)?,
                page_size: page_size(limit, JOBS_PER_PAGE),
                filter,
                order_by: order_by.unwrap_or_default(),
                ..ListJobsRequest::default()
            };
            list::list(request, limit, settings, console).await
        }
        Command::Failures {
            job,
            failures: filter,
            limit,
            ndjson,
        } => {
            let wanted = failures::Wanted {
                filter,
                limit,
                ndjson,
            };
            failures::failures(&job, &wanted, settings, console).await
        }
        Command::Dead { action, which } => {
            pipes::dead_letters::run(action, &which, settings, console).await
        }
        Command::Events(args) => events::events(&args, settings, console).await,
        Command::Batches(args) => batches::batches(&args, settings, console).await,
        Command::Pipes => pipes::pipes(settings, console).await,
        Command::Schedule(command) => schedules::run(command, settings, console).await,
        Command::Type(command) => job_types::run(command, settings, console).await,
        Command::Explain(args) => explain(&args, settings, console).await,
        Command::Limits(args) => pipes::limits::run(&args, settings, console).await,
        Command::Update { jobs, changes } => {
            control::update(&jobs, &changes, settings, console).await
        }
        Command::Partition {
            action,
            retention,
            weight,
            max_open_jobs,
            max_items_in_flight,
        } => {
            let changes = partitions::PartitionChanges {
                retention,
                weight,
                max_open_jobs,
                max_items_in_flight,
            };
            partitions::partition(action, changes, settings, console).await
        }
        // Answered before there were settings.
        Command::Completions { .. } => Ok(ExitStatus::Completed),
    }
}

async fn watch_jobs(
    args: &JobsArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let names = control::names(args, &settings)?;
    let remote = Remote::connect(settings).await?;
    let mut display = watch::Display::fitting(console, &remote, &names);
    let ends = watch::follow(&remote, console, &names, &mut display).await?;
    Ok(watch::conclude(&remote, console, &ends)?)
}
