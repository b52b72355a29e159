//! The command that says what jobs wait for.

use headway::v1::ExplainJobResponse;
use headway_client::JobName;

use crate::{
    Console,
    args::JobsArgs,
    failure::{ExitStatus, Failure},
    jobs::view::{label, state_name},
    output::{
        document::print,
        human::{clean, time},
    },
    remote::Remote,
    settings::Settings,
};

/// Says of each job what it waits for.
pub(crate) async fn explain(
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
            explanation(&explained, partition, console)
        })?;
    }
    Ok(ExitStatus::Completed)
}

/// What a job waits for, a line each.
fn explanation(explained: &ExplainJobResponse, partition: &str, console: &Console) -> String {
    let name = label(&explained.name, partition);
    let mut text = format!("{name} {}\n", state_name(explained.state()));
    for reason in &explained.reasons {
        let when = match &reason.reason_time {
            Some(_) => format!(
                " ({})",
                time(reason.reason_time.as_ref(), console.time_zone())
            ),
            None => String::new(),
        };
        text.push_str(&format!("  {}{when}\n", clean(&reason.message)));
    }
    text
}
