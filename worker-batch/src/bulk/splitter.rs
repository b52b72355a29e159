//! The splitter of jobs over jobs: an item is the id of a job that matches.

use async_trait::async_trait;
use headway_domain::{
    filter::Filter,
    jobs::bulk::{self, BulkDefinition},
};
use headway_splitters::{Child, Definition, Page, PageRequest, SplitError, Splitter};
use headway_store::{JobFilter, Store, StoreError};
use headway_worker::json_fault;
use serde_json::Value;

/// Jobs found at once.
const PAGE: u32 = 1000;

/// Finds jobs in the store, newest first. Only the server makes its definitions.
pub(crate) struct MatchingJobs {
    store: Store,
}

impl MatchingJobs {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }
}

fn read(definition: &Definition) -> Result<(BulkDefinition, JobFilter), SplitError> {
    let definition: BulkDefinition = serde_json::from_value(definition.json()?.into_owned())
        .map_err(|error| SplitError::invalid(json_fault(&error)))?;
    let more = Filter::parse(&definition.filter);
    let filter = JobFilter {
        states: definition.action.states(),
        more: Some(more.map_err(|error| SplitError::invalid(error.to_string()))?),
        ..JobFilter::default()
    };
    Ok((definition, filter))
}

#[async_trait]
impl Splitter for MatchingJobs {
    fn name(&self) -> &str {
        bulk::JOBS
    }

    fn reproducible(&self) -> bool {
        false
    }

    fn total(&self, definition: &Definition, _: &Value) -> Result<Option<u64>, SplitError> {
        read(definition).map(|_| None)
    }

    async fn page(&self, request: PageRequest<'_>) -> Result<Page, SplitError> {
        let (definition, filter) = read(request.definition)?;
        let below = match request.cursor {
            None => definition.below,
            Some(cursor) => cursor
                .try_into()
                .map(i64::from_be_bytes)
                .map_err(|_| SplitError::invalid("the cursor does not belong to this splitter"))?,
        };
        let size = u32::try_from(request.limit).map_or(PAGE, |limit| limit.min(PAGE));
        let found = self
            .store
            .list_jobs(&definition.partition, &filter, Some(below), size);
        let found = found.await.map_err(|error| match error {
            StoreError::Domain(refusal) => SplitError::invalid(refusal.to_string()),
            error if error.is_of_data() => {
                tracing::warn!(%error, "the database refuses the filter of a bulk job; the job fails");
                SplitError::invalid("the database refuses a value of the filter")
            }
            error => {
                tracing::warn!(%error, "cannot list the jobs of a bulk job; trying again");
                SplitError::transient("the jobs cannot be listed at the moment")
            }
        })?;
        let ids = found
            .jobs
            .iter()
            .map(|view| view.job.meta.name.job.as_str());
        Ok(Page {
            children: ids.map(|id| Child::Item(Value::from(id))).collect(),
            next: found.next.map(|key| key.to_be_bytes().to_vec()),
        })
    }
}
