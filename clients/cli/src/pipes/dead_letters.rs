//! The commands about dead letters.

use std::collections::BTreeSet;

use futures::TryStreamExt;
use headway::v1::{
    DeadLetter, DropDeadLettersRequest, FailureFilter, ListDeadLettersRequest,
    ListDeadLettersResponse, RetryJobRequest,
};
use headway_client::{JobName, partition_name};

use crate::{
    Console,
    args::{DeadAction, DeadArgs},
    failure::{ExitStatus, Failure},
    jobs::view,
    jobs::view::label,
    output::{
        document::print,
        human::{clean, time},
        table::{Column, render},
    },
    remote::{Remote, gather, page_size},
    settings::Settings,
};

/// Dead letters per page.
const PER_PAGE: u32 = 500;
/// The code of dead letters.
const DEAD_LETTERED: &str = "DEAD_LETTERED";

/// Lists dead letters, sends them again, or drops them.
pub(crate) async fn run(
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
                table(&response.dead_letters, &partition, console)
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
                    ..DropDeadLettersRequest::default()
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

/// Dead letters.
fn table(letters: &[DeadLetter], partition: &str, console: &Console) -> String {
    const COLUMNS: [Column; 5] = [
        Column::text("JOB", 9),
        Column::text("PIPE", 6),
        Column::left("ITEM", 8),
        Column::left("TIME", 3),
        Column::text("MESSAGE", 7),
    ];
    let rows = letters.iter().map(|letter| {
        let failure = letter.failure.clone().unwrap_or_default();
        vec![
            label(&letter.job, partition),
            clean(&letter.pipe),
            clean(&failure.item),
            time(failure.record_time.as_ref(), console.time_zone()),
            clean(&failure.details),
        ]
    });
    match letters {
        [] => "no dead letters\n".to_owned(),
        _ => render(&COLUMNS, &rows.collect::<Vec<_>>(), console.columns()),
    }
}
