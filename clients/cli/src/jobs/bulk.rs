//! The command that changes many jobs at once.

use headway::v1::{ChangeJobsRequest, JobAction};
use headway_client::partition_name;

use super::{create::finish, view};
use crate::{
    Console,
    args::BulkArgs,
    failure::{ExitStatus, Failure},
    output::document::print,
    remote::Remote,
    settings::Settings,
    watch,
};

/// Changes all jobs that match, or says how many there are.
pub(crate) async fn bulk(
    args: &BulkArgs,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let request = ChangeJobsRequest {
        parent: partition_name(&settings.partition)?,
        action: JobAction::from(args.action).into(),
        filter: args.filter.clone().unwrap_or_default(),
        all: args.all,
        validate_only: args.validate_only,
        ..ChangeJobsRequest::default()
    };
    let remote = Remote::connect(settings).await?;
    let answer = remote.client.change_jobs(request).await;
    let answer = answer.map_err(|error| remote.failure("cannot change the jobs", error))?;
    match answer.job.as_ref().filter(|_| args.wait) {
        Some(job) => finish(&remote, console, job, watch::Display::Silent).await,
        None => {
            print(console, remote.settings.format, &answer, |_| {
                view::changed(&answer, &remote.settings.partition)
            })?;
            Ok(ExitStatus::Completed)
        }
    }
}
