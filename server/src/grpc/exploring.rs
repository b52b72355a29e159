//! Reading what is around jobs: counts per state, history, batches, failures, the audit log and pipes.

use futures::{StreamExt, stream};
use headway::v1;
use headway_broker::{Broker, Depth, Queue};
use headway_domain::{
    Error, JobId, JobUid, PartitionId,
    filter::{Filter, JobOrder, OrderField},
};
use headway_store::{EventQuery, JobFilter, Position};
use prost::Message;

use super::{
    api::{JobApi, fitting, now},
    convert_explore, convert_out,
    cursor::cursor_text,
    dead,
    page_token::Query,
    request,
    request_explore::{self, EventParent},
    status::ApiError,
    violations::Violations,
};

/// Pipes that the broker is asked about at once.
const LOOKS: usize = 8;

/// The query of a list of jobs, which page tokens are bound to.
pub(super) fn jobs_query(
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

impl JobApi {
    /// ListFailures.
    pub(super) async fn failures(
        &self,
        request: v1::ListFailuresRequest,
    ) -> Result<v1::ListFailuresResponse, ApiError> {
        let mut violations = Violations::default();
        let name = violations.take(request::job_name("parent", &request.parent));
        let size = violations.take(request::page_size(request.page_size));
        // As it travels, which later versions keep.
        let wire = request.filter.as_ref().map(Message::encode_to_vec);
        let filter = dead::filter(request.filter, name.as_ref(), &mut violations);
        violations.finish()?;
        let (Some(name), Some(size)) = (name, size) else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let mut query = Query::new("failures").with(&name.to_string());
        if !filter.is_everything() {
            query = query.with_bytes(&wire.unwrap_or_default());
        }
        let above = match query.keys(&request.page_token, now())? {
            Some([run, seq]) => Some((u32::try_from(run).map_err(|_| Error::PageToken)?, seq)),
            None => None,
        };
        let page = self
            .store()
            .list_failures(&name, &filter, above, size)
            .await?;
        let failures: Vec<_> = page.failures.iter().map(convert_out::failure).collect();
        let fit = fitting(&failures);
        let next = match page.failures.get(fit.wrapping_sub(1)) {
            Some(last) if fit < failures.len() => Some(last.seq),
            Some(_) | None => page.next,
        };
        let failures = failures.into_iter().take(fit).collect();
        let next_page_token = next.map(|seq| query.token([page.run.into(), seq], now()));
        Ok(v1::ListFailuresResponse {
            failures,
            next_page_token: next_page_token.unwrap_or_default(),
        })
    }

    /// CountJobs.
    pub(super) async fn count(
        &self,
        request: v1::CountJobsRequest,
    ) -> Result<v1::CountJobsResponse, ApiError> {
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
        let more = violations.take(Filter::parse(&request.filter));
        violations.finish()?;
        let Some(partition) = partition else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let filter = JobFilter {
            more,
            ..JobFilter::default()
        };
        let counts = self.store().count_jobs(&partition, &filter).await?;
        let counts = counts.into_iter().map(|(state, jobs)| v1::StateCount {
            state: convert_out::state(state).into(),
            jobs: convert_out::int(jobs),
        });
        Ok(v1::CountJobsResponse {
            counts: counts.collect(),
        })
    }

    /// GetJobHistory.
    pub(super) async fn history(&self, name: &str) -> Result<v1::GetJobHistoryResponse, ApiError> {
        let name = request::job_name("name", name)?;
        let samples = self.store().job_history(&name).await?;
        Ok(v1::GetJobHistoryResponse {
            samples: samples.iter().map(convert_explore::sample).collect(),
        })
    }

    /// ListBatches.
    pub(super) async fn batches(
        &self,
        request: v1::ListBatchesRequest,
    ) -> Result<v1::ListBatchesResponse, ApiError> {
        let mut violations = Violations::default();
        let parent = violations.take(request_explore::batch_parent(&request.parent));
        let size = violations.take(request::page_size(request.page_size));
        violations.finish()?;
        let (Some((job, parent)), Some(size)) = (parent, size) else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let query = Query::new("batches").with(&request.parent);
        let above = match query.keys(&request.page_token, now())? {
            Some([number, _]) => u32::try_from(number).map_err(|_| Error::PageToken)?,
            None => 0,
        };
        let page = self.store().list_batches(&job, parent, above, size).await?;
        let batches = page.batches.iter();
        let unreadable = page.unreadable.iter();
        let next_page_token = page
            .next
            .map(|number| query.token([number.into(), 0], now()));
        Ok(v1::ListBatchesResponse {
            batches: batches
                .map(|view| convert_explore::batch(&job, view))
                .collect(),
            next_page_token: next_page_token.unwrap_or_default(),
            unreadable: unreadable
                .map(|number| format!("{job}/batches/{number}"))
                .collect(),
        })
    }

    /// ListEvents.
    pub(super) async fn events(
        &self,
        request: v1::ListEventsRequest,
    ) -> Result<v1::ListEventsResponse, ApiError> {
        let mut violations = Violations::default();
        let parent = violations.take(EventParent::read(&request.parent));
        let uid = violations.take(request_explore::job_uid(&request.job_uid));
        let kinds = request_explore::kinds(&request.kinds, &mut violations);
        let after = violations.take(request_explore::after(&request.after));
        let size = violations.take(request::page_size(request.page_size));
        violations.finish()?;
        let (Some(parent), Some(uid), Some(after), Some(size)) = (parent, uid, after, size) else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let partition = parent.partition().clone();
        let query = EventQuery {
            job: self.job_of(parent, uid).await?,
            partition,
            kinds,
        };
        let after: Position = after.unwrap_or_default();
        let page = self.store().events(&query, after, size).await?;
        let unreadable = page.unreadable.iter();
        let unreadable = unreadable.map(|event| cursor_text(event.position));
        Ok(v1::ListEventsResponse {
            events: page.events.iter().map(convert_explore::event).collect(),
            next_cursor: cursor_text(page.next),
            more: page.more,
            unreadable: unreadable.collect(),
        })
    }

    /// The job whose events are asked for.
    pub(super) async fn job_of(
        &self,
        parent: EventParent,
        uid: Option<JobUid>,
    ) -> Result<Option<(JobId, JobUid)>, ApiError> {
        match (parent, uid) {
            (EventParent::Partition(_), None) => Ok(None),
            (EventParent::Partition(_), Some(_)) => {
                Err(Error::field("job_uid", "needs the job's name as parent").into())
            }
            (EventParent::Job(name), Some(uid)) => Ok(Some((name.job, uid))),
            (EventParent::Job(name), None) => match self.store().last_uid(&name).await? {
                Some(uid) => Ok(Some((name.job, uid))),
                None => Err(Error::JobNotFound(name).into()),
            },
        }
    }

    /// ListPipes.
    pub(super) async fn pipes(
        &self,
        request: v1::ListPipesRequest,
    ) -> Result<v1::ListPipesResponse, ApiError> {
        let mut violations = Violations::default();
        let partition = violations.take(request::partition(&request.parent));
        let size = violations.take(request_explore::pipes_page_size(request.page_size));
        violations.finish()?;
        let (Some(partition), Some(size)) = (partition, size) else {
            return Err(Error::Invalid(Vec::new()).into());
        };
        let query = Query::new("pipes").with(partition.as_str());
        let above = query.text(&request.page_token, now())?;
        let above = above.unwrap_or_default();
        let page = self.store().list_pipes(&partition, &above, size).await?;
        let broker = self.broker();
        let names: Vec<_> = page.pipes.iter().map(|view| view.pipe.clone()).collect();
        let depths: Vec<_> = stream::iter(names)
            .map(|pipe| depth(broker, pipe))
            .buffered(LOOKS)
            .collect()
            .await;
        let limits = self.store().limits_of_pipes().await?;
        let pipes = page.pipes.iter().zip(depths);
        let pipes = pipes
            .map(|(view, depth)| {
                let limits = limits.iter().find(|of| of.pipe.as_str() == view.pipe);
                convert_explore::pipe(&partition, view, depth, limits)
            })
            .collect();
        let next_page_token = page.next.map(|name| query.text_token(&name, now()));
        Ok(v1::ListPipesResponse {
            pipes,
            next_page_token: next_page_token.unwrap_or_default(),
        })
    }
}

/// How full a pipe is, if the broker answers.
async fn depth(broker: &dyn Broker, pipe: String) -> Option<Depth> {
    let depth = broker.depth(&Queue::Pipe(pipe.clone())).await;
    depth
        .inspect_err(|error| tracing::debug!(%error, pipe, "cannot read the depth of a pipe; the answer leaves it out"))
        .ok()
}

#[cfg(test)]
mod tests {
    use headway_domain::JobState;

    use super::*;

    /// A token is good on a server of another version too: what is hashed must not follow the names of Rust.
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
