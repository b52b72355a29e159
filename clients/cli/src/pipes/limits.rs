//! The command that shows and sets the limits of pipes.

use headway::v1::{ListPipeLimitsResponse, PipeLimits};

use crate::{
    Console,
    args::LimitsArgs,
    failure::{ExitStatus, Failure},
    output::{
        document::print,
        human::{clean, count},
        table::{Column, render},
    },
    remote::Remote,
    settings::Settings,
};

/// Shows or sets the limits of pipes.
pub(crate) async fn run(
    args: &LimitsArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let remote = Remote::connect(settings).await?;
    let client = &remote.client;
    let Some(pipe) = &args.pipe else {
        let limits = client.all_pipe_limits().await;
        let limits = limits.map_err(|error| remote.failure("cannot list the limits", error))?;
        let response = ListPipeLimitsResponse {
            pipe_limits: limits,
            ..ListPipeLimitsResponse::default()
        };
        print(console, remote.settings.format, &response, |console| {
            table(&response.pipe_limits, console)
        })?;
        return Ok(ExitStatus::Completed);
    };
    let refused = |error| remote.failure(format!("cannot set the limits of pipe {pipe}"), error);
    let before = client.pipe_limits(pipe).await.map_err(refused)?;
    let limits = match (args.none, args.max_in_flight, args.max_per_second) {
        (false, None, None) => before,
        (none, in_flight, per_second) => {
            let kept = |number: i32| if none { 0 } else { number };
            let in_flight = in_flight.unwrap_or(kept(before.max_in_flight));
            let kept = if none { 0.0 } else { before.max_per_second };
            let set = client.limit_pipe(pipe, in_flight, per_second.unwrap_or(kept));
            set.await.map_err(refused)?
        }
    };
    print(console, remote.settings.format, &limits, |console| {
        table(std::slice::from_ref(&limits), console)
    })?;
    Ok(ExitStatus::Completed)
}

/// The limits of pipes.
fn table(limits: &[PipeLimits], console: &Console) -> String {
    const COLUMNS: [Column; 3] = [
        Column::text("PIPE", 9),
        Column::right("IN FLIGHT", 8),
        Column::right("PER SECOND", 8),
    ];
    let rows = limits.iter().map(|limits| {
        vec![
            clean(limits.name.split('/').nth(1).unwrap_or_default()),
            match limits.max_in_flight {
                0 => "any".to_owned(),
                most => count(most.into()),
            },
            match limits.max_per_second {
                0.0 => "any".to_owned(),
                most => most.to_string(),
            },
        ]
    });
    match limits {
        [] => "no pipe has limits\n".to_owned(),
        _ => render(&COLUMNS, &rows.collect::<Vec<_>>(), console.columns()),
    }
}
