//! The commands about what partitions and pipes may have.

use headway::v1::{ListPipeLimitsResponse, ListSuspendedPartitionsResponse, Partition};

use crate::{
    Console,
    args::{LimitsArgs, PartitionAction, RetentionState},
    document::print,
    failure::{ExitStatus, Failure},
    remote::Remote,
    settings::Settings,
    submit::apply_retention,
    view_explore,
};

/// What is to be changed of a partition.
#[derive(Debug)]
pub struct PartitionChanges {
    pub retention: Vec<(Option<RetentionState>, String)>,
    pub weight: Option<i32>,
    pub max_open_jobs: Option<i32>,
    pub max_items_in_flight: Option<i32>,
}

impl PartitionChanges {
    fn paths(&self) -> Vec<&'static str> {
        let said = [
            ("retention", !self.retention.is_empty()),
            ("weight", self.weight.is_some()),
            ("max_open_jobs", self.max_open_jobs.is_some()),
            ("max_items_in_flight", self.max_items_in_flight.is_some()),
        ];
        let said = said.into_iter().filter(|(_, said)| *said);
        said.map(|(path, _)| path).collect()
    }

    fn apply(&self, partition: &mut Partition) {
        if !self.retention.is_empty() {
            apply_retention(&self.retention, partition.retention.get_or_insert_default());
        }
        partition.weight = self.weight.unwrap_or(partition.weight);
        partition.max_open_jobs = self.max_open_jobs.unwrap_or(partition.max_open_jobs);
        partition.max_items_in_flight = self
            .max_items_in_flight
            .unwrap_or(partition.max_items_in_flight);
    }
}

/// Shows or sets the limits of pipes.
pub async fn limits(
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
            view_explore::limits(&response.pipe_limits, console)
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
        view_explore::limits(std::slice::from_ref(&limits), console)
    })?;
    Ok(ExitStatus::Completed)
}

/// Shows the partition, after it was suspended or resumed if that is asked for.
pub async fn partition(
    action: Option<PartitionAction>,
    changes: PartitionChanges,
    settings: Settings,
    console: &mut Console,
) -> Result<ExitStatus, Failure> {
    let remote = Remote::connect(settings).await?;
    let (client, partition) = (&remote.client, remote.settings.partition.as_str());
    let (answer, done) = match action {
        None if !changes.paths().is_empty() => {
            let mut new = match client.get_partition(partition).await {
                Ok(partition) => partition,
                Err(error) => return Err(remote.failure("cannot read the partition", error)),
            };
            let paths = changes.paths();
            changes.apply(&mut new);
            (client.update_partition(new, &paths).await, "changed")
        }
        None => (client.get_partition(partition).await, "read"),
        Some(PartitionAction::ListSuspended) => return suspended(&remote, console).await,
        Some(PartitionAction::Suspend) => (client.suspend_partition(partition).await, "suspended"),
        Some(PartitionAction::Resume) => (client.resume_partition(partition).await, "resumed"),
    };
    let what = format!("partition {partition} could not be {done}");
    let answer = answer.map_err(|error| remote.failure(&what, error))?;
    print(console, remote.settings.format, &answer, |console| {
        view_explore::partition(&answer, console)
    })?;
    Ok(ExitStatus::Completed)
}

/// Lists the partitions that are suspended.
async fn suspended(remote: &Remote, console: &mut Console) -> Result<ExitStatus, Failure> {
    let partitions = remote.client.suspended_partitions().await;
    let partitions = partitions
        .map_err(|error| remote.failure("cannot list the suspended partitions", error))?;
    let response = ListSuspendedPartitionsResponse {
        partitions,
        ..ListSuspendedPartitionsResponse::default()
    };
    print(
        console,
        remote.settings.format,
        &response,
        |console| match response.partitions.as_slice() {
            [] => "no partition is suspended\n".to_owned(),
            partitions => partitions
                .iter()
                .map(|partition| view_explore::suspension(partition, console))
                .collect(),
        },
    )?;
    Ok(ExitStatus::Completed)
}
