//! GetJob, ListJobs, CountJobs and GetJobHistory.

use headway::v1;
use headway_domain::{
    PartitionId,
    filter::{Filter, JobOrder, OrderField},
};
use headway_store::{JobFilter, JobPlace, Sample};

use super::view;
use crate::grpc::{
    api::{Api, fitting, now},
    request,
    status::ApiError,
    tokens::Query,
    values::{int, narrow, timestamp},
    violations::Violations,
};

/// The query of a list of jobs, which page tokens are bound to.
pub(crate) fn jobs_query(
    partition: &PartitionId,
    filter: &JobFilter,
    expression: &str,
    order: JobOrder,
) -> Query {
    let mut query = Query::new("jobs").with(partition.as_str());
    let mut states: Vec<_> = filter.states.iter().map(ToString::to_string).collect();
    states.sort_unstable();
    query = query.with(&states.join(","));
    for (key, value) in &filter.labels {
        query = query.with(key).with(value);
    }
    if expression.is_empty() && order == JobOrder::default() {
        return query;
    }
    let by = match order.by {
        OrderField::CreateTime => "create_time",
        OrderField::Id => "id",
        OrderField::DisplayName => "display_name",
    };
    let direction = if order.descending { "desc" } else { "asc" };
    query.with(expression).with(by).with(direction)
}

impl Api {
    pub(crate) async fn get_job(&self, request: v1::GetJobRequest) -> Result<v1::Job, ApiError> {
        let name = request::job_name("name", &request.name)?;
        view::whole(self.store().job(&name).await?)
    }

    pub(crate) async fn list_jobs(
        &self,
        request: v1::ListJobsRequest,
    ) -> Result<v1::ListJobsResponse, ApiError> {
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
        let size = violations.take(request::page_size(request.page_size));
        let more = violations.take(Filter::parse(&request.filter));
        let filter = JobFilter {
            more,
            ..JobFilter::default()
        };
        let order = violations.take(JobOrder::parse(&request.order_by));
        let (partition, size, order) = violations.values((partition, size, order))?;
        let query = jobs_query(&partition, &filter, &request.filter, order);
        let after = query.place(&request.page_token, now())?;
        let after = after.map(|(key, text)| JobPlace { key, text });
        let page = self
            .store()
            .find_jobs(&partition, &filter, order, after.as_ref(), size)
            .await?;
        let jobs: Vec<_> = page.jobs.iter().map(view::brief).collect();
        let fit = fitting(&jobs);
        // A page that was cut goes on below its last job.
        let next = match page.jobs.get(fit.wrapping_sub(1)) {
            Some(last) if fit < jobs.len() => Some(JobPlace::of(last, order)),
            Some(_) | None => page.next,
        };
        let jobs = jobs.into_iter().take(fit).collect();
        let next_page_token = next.map(|place| query.place_token(place.key, &place.text, now()));
        let unreadable = page.unreadable.iter();
        Ok(v1::ListJobsResponse {
            jobs,
            next_page_token: next_page_token.unwrap_or_default(),
            unreadable: unreadable
                .map(|id| format!("partitions/{partition}/jobs/{id}"))
                .collect(),
        })
    }

    pub(crate) async fn count_jobs(
        &self,
        request: v1::CountJobsRequest,
    ) -> Result<v1::CountJobsResponse, ApiError> {
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
        let more = violations.take(Filter::parse(&request.filter));
        let (partition,) = violations.values((partition,))?;
        let filter = JobFilter {
            more,
            ..JobFilter::default()
        };
        let counts = self.store().count_jobs(&partition, &filter).await?;
        let counts = counts.into_iter().map(|(state, jobs)| v1::JobStateCount {
            state: view::state(state).into(),
            job_count: int(jobs),
        });
        Ok(v1::CountJobsResponse {
            counts: counts.collect(),
        })
    }

    pub(crate) async fn get_job_history(
        &self,
        request: v1::GetJobHistoryRequest,
    ) -> Result<v1::JobHistory, ApiError> {
        let name = request::job_name("name", &request.name)?;
        let samples = self.store().job_history(&name).await?;
        Ok(v1::JobHistory {
            samples: samples.iter().map(sample).collect(),
        })
    }
}

/// How far a job was at a time.
fn sample(sample: &Sample) -> v1::JobSample {
    v1::JobSample {
        sample_time: Some(timestamp(sample.time)),
        items_done: int(sample.done),
        items_failed: int(sample.failed),
        items_in_flight: int(sample.in_flight),
        items_known: int(sample.known),
        run: narrow(sample.run),
    }
}

#[cfg(test)]
mod tests {
    use headway_domain::{Error, JobState};

    use super::*;

    /// A token is good on a server of another version too: what is hashed must not follow the names
    /// of Rust.
    #[test]
    fn a_token_of_this_release_is_read_by_the_next() {
        let filter = JobFilter {
            states: vec![JobState::Failed],
            ..JobFilter::default()
        };
        let order = JobOrder {
            by: OrderField::DisplayName,
            descending: true,
        };
        let partition = PartitionId::new("acme").unwrap();
        let query = jobs_query(&partition, &filter, "x", order);
        assert_eq!(
            query.token([7, 0], 1_800_000_000),
            "AQAAAABrSdIAAAAAAAAAAAcAAAAAAAAAALEjXxuBtU0qpDVLjhT68f8"
        );
        for (by, descending) in [(OrderField::Id, true), (OrderField::DisplayName, false)] {
            let other = jobs_query(&partition, &filter, "x", JobOrder { by, descending });
            let token = query.token([7, 0], 1_800_000_000);
            assert_eq!(other.keys(&token, 1_800_000_000), Err(Error::PageToken));
        }
    }
}
