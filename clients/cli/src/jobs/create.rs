//! Creating a job, and following it to its end.

use headway::v1::{CreateJobRequest, Job};
use headway_client::JobName;

use super::submit;
use crate::{
    Console,
    args::{Format, SubmitArgs},
    failure::{ExitStatus, Failure},
    output::document::print,
    remote::Remote,
    settings::Settings,
    watch,
};

/// Checks the arguments before it connects, then creates the job.
pub(crate) async fn create(
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
pub(crate) async fn finish(
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

/// The name of a job that the server made.
pub(crate) fn parse(job: &Job) -> Result<JobName, Failure> {
    Ok(job.name.parse()?)
}
