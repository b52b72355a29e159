//! PartitionService.

use headway::v1::{self, partition_service_server::PartitionService};
use headway_domain::{
    Error, PartitionId, events::Caller, jobs::Retention, limits, partitions::PartitionShare,
};
use headway_store::{PartitionView, StoreError};
use tonic::Request;

use super::{
    api::{Answer, Api, answer, now, received},
    request,
    spec::retention,
    status::{ApiError, overtaken},
    tokens::Query,
    values::{narrow, timestamp},
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

#[tonic::async_trait]
impl PartitionService for Api {
    async fn get_partition(
        &self,
        request: Request<v1::GetPartitionRequest>,
    ) -> Answer<v1::Partition> {
        answer(self.get_partition(request.into_inner()).await)
    }

    async fn update_partition(
        &self,
        request: Request<v1::UpdatePartitionRequest>,
    ) -> Answer<v1::Partition> {
        let (request, caller) = received(request);
        answer(self.update_partition(request, caller).await)
    }

    async fn suspend_partition(
        &self,
        request: Request<v1::SuspendPartitionRequest>,
    ) -> Answer<v1::Partition> {
        let (request, caller) = received(request);
        answer(self.set_suspended(&request.name, true, caller).await)
    }

    async fn resume_partition(
        &self,
        request: Request<v1::ResumePartitionRequest>,
    ) -> Answer<v1::Partition> {
        let (request, caller) = received(request);
        answer(self.set_suspended(&request.name, false, caller).await)
    }

    async fn list_suspended_partitions(
        &self,
        request: Request<v1::ListSuspendedPartitionsRequest>,
    ) -> Answer<v1::ListSuspendedPartitionsResponse> {
        answer(self.list_suspended_partitions(request.into_inner()).await)
    }
}

impl Api {
    pub(crate) async fn get_partition(
        &self,
        request: v1::GetPartitionRequest,
    ) -> Result<v1::Partition, ApiError> {
        let partition = named(&request.name)?;
        Ok(wire(self.store().partitions().get(&partition).await?))
    }

    /// SuspendPartition and ResumePartition.
    async fn set_suspended(
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

    pub(crate) async fn update_partition(
        &self,
        request: v1::UpdatePartitionRequest,
        caller: Caller,
    ) -> Result<v1::Partition, ApiError> {
        let wanted = request.partition.unwrap_or_default();
        let mut violations = Violations::default();
        let partition = named(&wanted.name).map_err(|error| error.renamed("partition.name"));
        let partition = violations.take(partition);
        let new = Settings {
            retention: retention::read(
                "partition.retention",
                wanted.retention.clone(),
                &mut violations,
            ),
            share: read_share(&wanted, &mut violations),
        };
        let mask = request::mask(request.update_mask, &PATHS, &mut violations);
        let etag = violations.take(request::etag("partition.etag", &wanted.etag));
        let (partition, etag) = violations.values((partition, etag))?;
        let partitions = self.store().partitions().rehearsing(request.validate_only);
        loop {
            let known = partitions.get(&partition).await?;
            let present = known.etag();
            let suspension = known.suspension.clone();
            let Settings { retention, share } = new.merged(&mask, known);
            let present = Some(etag.unwrap_or(&present));
            let set = partitions.update(&partition, &retention, &share, present, &caller);
            match set.await {
                Err(error) if etag.is_none() && overtaken(&error) => {}
                set => {
                    set?;
                    return Ok(wire(match request.validate_only {
                        true => PartitionView {
                            partition,
                            suspension,
                            retention,
                            share,
                        },
                        false => partitions.get(&partition).await?,
                    }));
                }
            }
        }
    }

    pub(crate) async fn list_suspended_partitions(
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

/// What UpdatePartition changes.
struct Settings {
    retention: Retention,
    share: PartitionShare,
}

impl Settings {
    /// The fields that a mask names, and the others as they are.
    fn merged(&self, mask: &[String], known: PartitionView) -> Self {
        let named = |path: &str| mask.iter().any(|named| named == path);
        let kept = |state: &str| named("retention") || named(&format!("retention.{state}"));
        let (new, share) = (self.retention.clone(), self.share);
        let mut merged = Self {
            retention: known.retention,
            share: known.share,
        };
        if kept("completed") {
            merged.retention.completed = new.completed;
        }
        if kept("failed") {
            merged.retention.failed = new.failed;
        }
        if kept("cancelled") {
            merged.retention.cancelled = new.cancelled;
        }
        if named("weight") {
            merged.share.weight = share.weight;
        }
        if named("max_open_jobs") {
            merged.share.open_jobs = share.open_jobs;
        }
        if named("max_items_in_flight") {
            merged.share.in_flight = share.in_flight;
        }
        merged
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
    let etag = view.etag();
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
        etag,
    }
}
