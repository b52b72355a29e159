//! The command that shows the batches of a job.

use futures::{StreamExt, TryStreamExt};
use headway::v1::{Batch, BatchState, ListBatchesRequest, ListBatchesResponse};
use headway_client::JobName;

use crate::{
    Console,
    args::BatchesArgs,
    failure::{ExitStatus, Failure},
    output::{
        document::print,
        human::{clean, count, percentage},
        table::{Column, render},
    },
    remote::Remote,
    settings::Settings,
};

/// Batches per page.
const PER_PAGE: i32 = 500;

/// Prints the children of a batch of a job, or the root and its children.
pub(crate) async fn batches(
    args: &BatchesArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let name: JobName = Remote::name(&args.job, &settings)?;
    let remote = Remote::connect(settings).await?;
    let parents = match args.of {
        Some(number) => vec![format!("{name}/batches/{number}")],
        None => vec![String::new(), format!("{name}/batches/1")],
    };
    let limit = args.limit.and_then(|limit| usize::try_from(limit).ok());
    let mut batches = Vec::new();
    for parent_batch in parents {
        let listed = remote.client.batches(ListBatchesRequest {
            parent: name.to_string(),
            parent_batch,
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
        table(&response.batches, console)
    })?;
    Ok(ExitStatus::Completed)
}

/// A table of batches.
fn table(batches: &[Batch], console: &Console) -> String {
    const COLUMNS: [Column; 7] = [
        Column::right("BATCH", 9),
        Column::left("STATE", 8),
        Column::right("DONE", 7),
        Column::right("ITEMS", 6),
        Column::right("FAILED", 5),
        Column::right("BATCHES", 3),
        Column::text("ABOUT", 9),
    ];
    let rows = batches.iter().map(|batch| {
        let state = match batch.state() {
            BatchState::Unspecified => "UNKNOWN",
            BatchState::Waiting => "WAITING",
            BatchState::Active => "ACTIVE",
            BatchState::Done => "DONE",
            BatchState::Incomplete => "INCOMPLETE",
        };
        let more = if batch.total_final { "" } else { "+" };
        let share = match batch.items_known {
            0 => 0.0,
            known => batch.items_done as f64 / known as f64 * 100.0,
        };
        vec![
            clean(batch.name.rsplit('/').next().unwrap_or_default()),
            state.to_owned(),
            percentage(share),
            format!(
                "{}/{}{more}",
                count(batch.items_done),
                count(batch.items_known)
            ),
            count(batch.items_failed + batch.split_failure_count),
            count(batch.batch_count),
            clean(&batch.title),
        ]
    });
    match batches {
        [] => "no batches below it\n".to_owned(),
        _ => render(&COLUMNS, &rows.collect::<Vec<_>>(), console.columns()),
    }
}
