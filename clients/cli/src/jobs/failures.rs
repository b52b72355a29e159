//! The command that lists the failures of a job.

use futures::TryStreamExt;
use headway::v1::{self, FailureFilter, ListFailuresResponse};
use headway_client::JobName;

use crate::{
    Console,
    args::FailureArgs,
    failure::{ExitStatus, Failure},
    output::{
        document::{self, Layout, print},
        human::{clean, time},
        table::{Column, render},
    },
    remote::{Remote, gather, page_size},
    settings::Settings,
};

/// Failures per page.
const PER_PAGE: u32 = 500;

/// Which failures to show, and how.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub filter: FailureArgs,
    pub limit: Option<u32>,
    pub ndjson: bool,
}

/// The filter that arguments ask for, of a job.
pub(crate) fn filter(args: &FailureArgs, job: &JobName) -> Option<FailureFilter> {
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
pub(crate) async fn failures(
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
            console.text(&document::render(&failure, Layout::JsonLine)?)?;
            left -= 1;
        }
        return Ok(ExitStatus::Completed);
    }
    let response = ListFailuresResponse {
        failures: gather(found, wanted.limit).await.map_err(refused)?,
        next_page_token: String::new(),
    };
    print(console, remote.settings.format, &response, |console| {
        table(&response.failures, console)
    })?;
    Ok(ExitStatus::Completed)
}

/// A table of failures.
fn table(failures: &[v1::Failure], console: &Console) -> String {
    const COLUMNS: [Column; 6] = [
        Column::left("ITEM", 9),
        Column::text("CODE", 8),
        Column::right("TRY", 4),
        Column::left("TIME", 3),
        Column::text("WORKER", 2),
        Column::text("MESSAGE", 9),
    ];
    let rows = failures.iter().map(|failure| {
        vec![
            clean(&failure.item),
            clean(&failure.code),
            failure.attempt.to_string(),
            time(failure.record_time.as_ref(), console.time_zone()),
            clean(&failure.worker),
            clean(&failure.message),
        ]
    });
    match failures {
        [] => "no failures\n".to_owned(),
        _ => render(&COLUMNS, &rows.collect::<Vec<_>>(), console.columns()),
    }
}
