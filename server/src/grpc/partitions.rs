//! Partitions as a whole.

use headway::v1;
use headway_domain::{
    Error, PartitionId, event::Caller, limits, retention::Retention, share::PartitionShare,
};
use headway_store::{PartitionView, StoreError};

use super::{
    api::{JobApi, now},
    convert_out::{narrow, timestamp},
    page_token::Query,
    request, retention,
    status::ApiError,
    violations::Violations,
};

/// What of a partition can be changed.
const PATHS: [&str; 7] = [
    "weight",
    "max_open_jobs",
    "max_items_in_flight",
    "retention",
    "retention.completed",
    "retention.failed",
    "retention.cancelled",
];

impl JobApi {
    /// GetPartition.
    pub(super) async fn partition(&self, name: &str) -> Result<v1::Partition, ApiError> {
        let partition = named(name)?;
        Ok(wire(self.store().partitions().get(&partition).await?))
    }

    /// SuspendPartition and ResumePartition.
    pub(super) async fn suspend(
        &self,
        name: &str,
        suspended: bool,
        caller: Caller,
    ) -> Result<v1::Partition, ApiError> {
        let partition = named(name)?;
        let walked = partition.clone();
        self.change(move |relay, reply| async move {
            let done: Result<(), StoreError> = async {
                let store = relay.store();
                store
                    .partitions()
                    .set_suspended(&walked, suspended, &caller)
                    .await?;
                let mut after = 0;
                loop {
                    let (committed, next) = store.walk_partition(&walked, after).await?;
                    relay.publish(committed).await;
                    match next {
                        Some(next) => after = next,
                        None => return Ok(()),
                    }
                }
            }
            .await;
            // A caller that went away finds the partition as it asked for.
            drop(reply.send(done));
        })
        .await?;
        Ok(wire(self.store().partitions().get(&partition).await?))
    }

    /// UpdatePartition.
    pub(super) async fn change_partition(
        &self,
        request: v1::UpdatePartitionRequest,
        caller: Caller,
    ) -> Result<v1::Partition, ApiError> {
        let wanted = request.partition.unwrap_or_default();
        let mut violations = Violations::default();
        let partition = named(&wanted.name).map_err(|error| error.renamed("partition.name"));
        let partition = violations.take(partition);
        let new = retention::read(
            "partition.retention",
            wanted.retention.clone(),
            &mut violations,
        );
        let share = read_share(&wanted, &mut violations);
        let mask = request.update_mask.unwrap_or_default().paths;
        for path in &mask {
            violations.check(PATHS.contains(&path.as_str()), "update_mask", || {
                format!("must name some of {}, not {path:?}", PATHS.join(", "))
            });
        }
        violations.finish()?;
        let Some(partition) = partition else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let named = |path: &str| {
            let all = mask.is_empty() || mask.iter().any(|named| named == "retention");
            all || mask.iter().any(|named| named == path)
        };
        let known = self.store().partitions().get(&partition).await?;
        let (before, had) = (known.retention, known.share);
        let pick = |path, new, before| if named(path) { new } else { before };
        let retention = Retention {
            completed: pick("retention.completed", new.completed, before.completed),
            failed: pick("retention.failed", new.failed, before.failed),
            cancelled: pick("retention.cancelled", new.cancelled, before.cancelled),
        };
        let asked = |path: &str| mask.iter().any(|named| named == path);
        let share = PartitionShare {
            weight: if asked("weight") {
                share.weight
            } else {
                had.weight
            },
            open_jobs: match asked("max_open_jobs") {
                true => share.open_jobs,
                false => had.open_jobs,
            },
            in_flight: match asked("max_items_in_flight") {
                true => share.in_flight,
                false => had.in_flight,
            },
        };
        self.store()
            .partitions()
            .update(&partition, &retention, &share, &caller)
            .await?;
        Ok(wire(self.store().partitions().get(&partition).await?))
    }

    /// ListSuspendedPartitions.
    pub(super) async fn suspended(
        &self,
        request: v1::ListSuspendedPartitionsRequest,
    ) -> Result<v1::ListSuspendedPartitionsResponse, ApiError> {
        let size = request::page_size(request.page_size)?;
        let query = Query::new("suspended partitions");
        let above = query.text(&request.page_token, now())?.unwrap_or_default();
        let page = self
            .store()
            .partitions()
            .list_suspended(&above, size)
            .await?;
        let next = page.next.map(|last| query.text_token(&last, now()));
        let unreadable = page.unreadable.iter();
        Ok(v1::ListSuspendedPartitionsResponse {
            next_page_token: next.unwrap_or_default(),
            partitions: page.partitions.into_iter().map(wire).collect(),
            unreadable: unreadable.map(|id| format!("partitions/{id}")).collect(),
        })
    }
}

fn named(name: &str) -> Result<PartitionId, Error> {
    request::partition(name).map_err(|error| error.renamed("name"))
}

/// Weight and quotas, where 0 is the default.
fn read_share(wanted: &v1::Partition, violations: &mut Violations) -> PartitionShare {
    let mut number = |field: &str, number: i32, most: u32| {
        let fits = u32::try_from(number).ok().filter(|number| *number <= most);
        violations.check(fits.is_some(), field, || {
            format!("must be 0 to {most}, not {number}")
        });
        fits.filter(|number| *number > 0)
    };
    let weight = number("partition.weight", wanted.weight, limits::MAX_WEIGHT);
    PartitionShare {
        weight: weight.unwrap_or(PartitionShare::default().weight),
        open_jobs: number(
            "partition.max_open_jobs",
            wanted.max_open_jobs,
            limits::MAX_QUOTA,
        ),
        in_flight: number(
            "partition.max_items_in_flight",
            wanted.max_items_in_flight,
            limits::MAX_QUOTA,
        ),
    }
}

fn wire(view: PartitionView) -> v1::Partition {
    let (suspended_by, since) = match view.suspension {
        Some(suspension) => (suspension.by, Some(suspension.since)),
        None => (String::new(), None),
    };
    v1::Partition {
        name: format!("partitions/{}", view.partition),
        suspended: since.is_some(),
        suspended_by,
        suspend_time: since.map(timestamp),
        retention: retention::wire(&view.retention),
        weight: narrow(view.share.weight),
        max_open_jobs: narrow(view.share.open_jobs.unwrap_or(0)),
        max_items_in_flight: narrow(view.share.in_flight.unwrap_or(0)),
    }
}
