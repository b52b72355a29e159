//! The commands about pipes: what they hold, their limits, their dead letters.

pub(crate) mod dead_letters;
pub(crate) mod limits;

use futures::TryStreamExt;
use headway::v1::{ListPipesResponse, Pipe};
use headway_client::partition_name;

use crate::{
    Console,
    failure::{ExitStatus, Failure},
    output::{
        document::print,
        human::{clean, count, rate},
        table::{Column, render},
    },
    remote::Remote,
    settings::Settings,
};

/// Prints the pipes that the partition's jobs have used.
pub(crate) async fn pipes(
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
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
        table(&response.pipes, partition, console)
    })?;
    Ok(ExitStatus::Completed)
}

/// A table of pipes.
fn table(pipes: &[Pipe], partition: &str, console: &Console) -> String {
    const COLUMNS: [Column; 8] = [
        Column::text("PIPE", 9),
        Column::right("READY", 8),
        Column::right("IN FLIGHT", 8),
        Column::right("PARKED", 3),
        Column::right("DELAYED", 3),
        Column::right("CONSUMERS", 7),
        Column::right("RATE", 5),
        Column::right("DEAD", 4),
    ];
    let rows = pipes.iter().map(|pipe| {
        let known = |number: i64| match pipe.reachable {
            true => count(number),
            false => "?".to_owned(),
        };
        vec![
            clean(pipe.name.rsplit('/').next().unwrap_or_default()),
            known(pipe.ready_message_count),
            count(pipe.items_in_flight),
            count(pipe.items_parked),
            count(pipe.items_delayed),
            known(pipe.consumer_count),
            rate(pipe.items_per_second).unwrap_or_default(),
            count(pipe.dead_letter_count),
        ]
    });
    match pipes {
        [] => format!("no job of partition {partition} has used a pipe\n"),
        _ => render(&COLUMNS, &rows.collect::<Vec<_>>(), console.columns()),
    }
}
