//! The commands about what failed: failures of a job, and dead letters.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use headway::v1::{
    DropDeadLettersRequest, FailureFilter, ListDeadLettersRequest, ListDeadLettersResponse,
    ListFailuresResponse, RetryJobRequest,
};
use headway_client::{JobName, partition_name};

use crate::{
    Console,
    args::{DeadAction, DeadArgs, FailureArgs},
    commands::{gather, page_size},
    document::{Layout, print, render},
    failure::{ExitStatus, Failure},
    remote::Remote,
    settings::Settings,
    view,
};

/// Failures per page.
const PER_PAGE: u32 = 500;
/// The code of dead letters.
const DEAD_LETTERED: &str = "DEAD_LETTERED";

/// Which failures to show, and how.
#[derive(Debug)]
pub struct Wanted {
    pub filter: FailureArgs,
    pub limit: Option<u32>,
    pub ndjson: bool,
}

/// The filter that arguments ask for, of a job.
pub fn filter(args: &FailureArgs, job: &JobName) -> Option<FailureFilter> {
    let filter = FailureFilter {
        codes: args.code.clone(),
        batches: args
            .batch
            .iter()
            .map(|number| format!("{job}/batches/{number}"))
            .collect(),
        items: args.item.clone(),
    };
    Some(filter).filter(|filter| *filter != FailureFilter::default())
}

/// Lists the failures of a job.
pub async fn failures(
    job: &str,
    wanted: &Wanted,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let name = Remote::name(job, &settings)?;
    let remote = Remote::connect(settings).await?;
    let refused = |error| remote.job_failure(&name, "searched for failures", error);
    let filter = filter(&wanted.filter, &name);
    let size = page_size(wanted.limit, PER_PAGE);
    let mut found = Box::pin(remote.client.failures_like(&name, filter, size));
    if wanted.ndjson {
        let mut left = wanted.limit.unwrap_or(u32::MAX);
        while left > 0
            && let Some(failure) = found.try_next().await.map_err(refused)?
        {
            console.text(&render(&failure, Layout::JsonLine)?)?;
            left -= 1;
        }
        return Ok(ExitStatus::Completed);
    }
    let response = ListFailuresResponse {
        failures: gather(found, wanted.limit).await.map_err(refused)?,
        next_page_token: String::new(),
    };
    print(console, remote.settings.format, &response, |console| {
        view::failures(&response.failures, console)
    })?;
    Ok(ExitStatus::Completed)
}

/// Lists dead letters, sends them again, or drops them.
pub async fn run(
    action: Option<DeadAction>,
    which: &DeadArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let partition = partition_name(&settings.partition)?;
    let parent = match (&which.pipe, &which.job) {
        (Some(pipe), _) => format!("{partition}/pipes/{pipe}"),
        (None, Some(job)) => Remote::name(job, &settings)?.to_string(),
        (None, None) => partition,
    };
    let remote = Remote::connect(settings).await?;
    let request = ListDeadLettersRequest {
        parent: parent.clone(),
        page_size: page_size(which.limit, PER_PAGE),
        ..ListDeadLettersRequest::default()
    };
    match action {
        None => {
            let letters = gather(remote.client.dead_letters(request), which.limit).await;
            let response = ListDeadLettersResponse {
                dead_letters: letters
                    .map_err(|error| remote.failure("cannot list the dead letters", error))?,
                next_page_token: String::new(),
            };
            let partition = remote.settings.partition.clone();
            print(console, remote.settings.format, &response, |console| {
                view::dead_letters(&response.dead_letters, &partition, console)
            })?;
            Ok(ExitStatus::Completed)
        }
        Some(DeadAction::Redrive) => redrive(&remote, request, console).await,
        Some(DeadAction::Drop) => {
            if which.pipe.is_none() && which.job.is_none() && !which.all {
                let which = "say which dead letters to drop: --pipe, --job, or --all";
                return Err(Failure::usage(which.to_owned()));
            }
            let mut all = 0;
            loop {
                let request = DropDeadLettersRequest {
                    parent: parent.clone(),
                    all: which.all,
                };
                let answer = remote.client.drop_dead_letters(request).await;
                let answer = answer
                    .map_err(|error| remote.failure("cannot drop the dead letters", error))?;
                all += i64::from(answer.dropped_count);
                if !answer.more {
                    break;
                }
            }
            console.line(&format!("dropped {all} dead letters"))?;
            Ok(ExitStatus::Completed)
        }
    }
}

/// Retries the jobs of dead letters, with those alone.
async fn redrive(
    remote: &Remote,
    request: ListDeadLettersRequest,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let listed = |error| remote.failure("cannot list the dead letters", error);
    let mut letters = Box::pin(remote.client.dead_letters(request));
    let mut jobs = BTreeSet::new();
    while let Some(letter) = letters.try_next().await.map_err(listed)? {
        jobs.insert(letter.job);
    }
    let mut worst = ExitStatus::Completed;
    for job in jobs {
        let name: JobName = job.parse()?;
        let request = RetryJobRequest {
            name: job,
            failure_filter: Some(FailureFilter {
                codes: vec![DEAD_LETTERED.to_owned()],
                ..FailureFilter::default()
            }),
            ..RetryJobRequest::default()
        };
        match remote.client.retry_failures(request).await {
            Ok(job) => console.line(&view::line(&job, &remote.settings.partition))?,
            Err(error) => {
                let failure = remote.job_failure(&name, "retried", error);
                console.error(&failure.to_string())?;
                worst = failure.status();
            }
        }
    }
    Ok(worst)
}
