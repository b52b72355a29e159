//! The commands about partitions.

use headway::v1::{ListSuspendedPartitionsResponse, Partition};

use crate::{
    Console,
    args::{PartitionAction, RetentionState},
    failure::{ExitStatus, Failure},
    jobs::submit::apply_retention,
    output::{
        document::print,
        human::{clean, count, time},
    },
    remote::Remote,
    settings::Settings,
};

/// What is to be changed of a partition.
#[derive(Debug)]
pub(crate) struct PartitionChanges {
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

/// Shows the partition, after it was suspended or resumed if that is asked for.
pub(crate) async fn partition(
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
        describe(&answer, console)
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
                .map(|partition| suspension(partition, console))
                .collect(),
        },
    )?;
    Ok(ExitStatus::Completed)
}

/// One line about whether a partition is suspended.
fn suspension(partition: &Partition, console: &Console) -> String {
    let name = clean(&partition.name);
    match (partition.suspended, partition.suspended_by.as_str()) {
        (false, _) => format!("{name} is not suspended\n"),
        (true, user) => {
            let since = time(partition.suspend_time.as_ref(), console.time_zone());
            let by = match user {
                "" => String::new(),
                user => format!(", by {}", clean(user)),
            };
            format!("{name} is suspended since {since}{by}\n")
        }
    }
}

/// What holds for a partition, a line each.
fn describe(partition: &Partition, console: &Console) -> String {
    let mut text = suspension(partition, console);
    if partition.weight > 1 {
        text.push_str(&format!("its weight is {}\n", partition.weight));
    }
    for (what, quota) in [
        ("jobs that have not ended", partition.max_open_jobs),
        ("items in flight", partition.max_items_in_flight),
    ] {
        if quota > 0 {
            text.push_str(&format!("its quota is {} {what}\n", count(quota.into())));
        }
    }
    if let Some(kept) = &partition.retention {
        for (state, expiry) in [
            ("completed", &kept.completed),
            ("failed", &kept.failed),
            ("cancelled", &kept.cancelled),
        ] {
            if !expiry.is_empty() {
                text.push_str(&format!("{state} jobs are deleted: {}\n", clean(expiry)));
            }
        }
    }
    text
}
