//! The commands that read and change some jobs, one after the other.

use headway::v1::{Job, RetryJobRequest};
use headway_client::{Client, Error, JobName};

use super::{failures, submit, view};
use crate::{
    Console,
    args::{FailureArgs, Format, JobsArgs, UpdateArgs},
    failure::{ExitStatus, Failure},
    output::document::print,
    remote::Remote,
    settings::Settings,
};

/// What is printed of a job that is not printed whole.
#[derive(Clone, Copy)]
pub(crate) enum Shown {
    Line,
    Details,
    /// What a retry would run.
    Retry,
}

impl Shown {
    fn text(self, job: &Job, settings: &Settings, console: &Console) -> String {
        match self {
            Self::Line => view::line(job, &settings.partition) + "\n",
            Self::Details => view::details(job, console.time_zone()),
            Self::Retry => view::would_retry(job, &settings.partition) + "\n",
        }
    }
}

/// Does the same to each job and prints it. One that fails does not keep the others from it.
pub(crate) async fn each<Call, Answer>(
    args: &JobsArgs,
    settings: Settings,
    console: &mut Console,
    what: &'static str,
    shown: Shown,
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
                let settings = &remote.settings;
                print(console, settings.format, &job, |console| {
                    shown.text(&job, settings, console)
                })?;
                continue;
            }
            Err(error) => error,
        };
        worst = tell(console, &remote.job_failure(&name, what, error), worst)?;
    }
    Ok(worst)
}

/// Runs again what failed in jobs, or says what would be run.
pub(crate) async fn retry(
    args: &JobsArgs,
    request: &RetryJobRequest,
    failures: &FailureArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let shown = match request.validate_only {
        true => Shown::Retry,
        false => Shown::Line,
    };
    each(args, settings, console, "retried", shown, |client, name| {
        let request = RetryJobRequest {
            name: name.to_string(),
            failure_filter: failures::filter(failures, &name),
            ..request.clone()
        };
        async move { client.retry_failures(request).await }
    })
    .await
}

pub(crate) async fn remove(
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
pub(crate) async fn update(
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
        Shown::Line,
        |client, name| async move {
            // What is said is put upon what the job has.
            let mut spec = client.get_job(&name).await?.spec.unwrap_or_default();
            let paths = submit::apply_changes(changes, &mut spec);
            client.update_job(&name, spec, &paths).await
        },
    )
    .await
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

pub(crate) fn names(args: &JobsArgs, settings: &Settings) -> Result<Vec<JobName>, Failure> {
    let names = args.jobs.iter();
    names.map(|job| Remote::name(job, settings)).collect()
}
