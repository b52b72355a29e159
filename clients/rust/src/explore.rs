//! The calls that read what is around jobs: counts, history, batches, the audit log, pipes.

use futures::Stream;
use headway::v1::{
    AuditEvent, Batch, CountJobsRequest, GetJobHistoryRequest, JobSample, JobStateCount,
    ListBatchesRequest, ListBatchesResponse, ListEventsRequest, ListEventsResponse,
    ListPipesRequest, ListPipesResponse, Pipe,
};

use crate::{Client, Error, JobName, client::pages, retry::Repeat};

impl Client {
    /// Counts the jobs of a partition by state; states without jobs are left out.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad partition.
    pub async fn count_jobs(&self, partition: &str) -> Result<Vec<JobStateCount>, Error> {
        self.count_jobs_like(partition, "").await
    }

    /// As [`Client::count_jobs`], of jobs that a filter is true of: see `ListJobsRequest.filter`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad partition or filter.
    pub async fn count_jobs_like(
        &self,
        partition: &str,
        filter: &str,
    ) -> Result<Vec<JobStateCount>, Error> {
        let request = CountJobsRequest {
            parent: format!("partitions/{partition}"),
            filter: filter.to_owned(),
        };
        let response = self
            .call(Repeat::Harmless, request, |mut stubs, request| async move {
                stubs.jobs.count_jobs(request).await
            })
            .await?;
        Ok(response.counts)
    }

    /// Reads how far a job was over its life, oldest first.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn job_history(&self, name: &JobName) -> Result<Vec<JobSample>, Error> {
        let name = name.to_string();
        let request = GetJobHistoryRequest { name };
        let response = self
            .call(Repeat::Harmless, request, |mut stubs, request| async move {
                stubs.jobs.get_job_history(request).await
            })
            .await?;
        Ok(response.samples)
    }

    /// Reads one page of a job's root batch, or of the children of one of its batches.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_ARGUMENT` for a bad parent or page token.
    pub async fn list_batches(
        &self,
        request: ListBatchesRequest,
    ) -> Result<ListBatchesResponse, Error> {
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.jobs.list_batches(request).await
        })
        .await
    }

    /// Reads the batches of all pages, one page at a time as they are taken. Ends after the first error.
    pub fn batches(
        &self,
        request: ListBatchesRequest,
    ) -> impl Stream<Item = Result<Batch, Error>> + Send + 'static {
        let client = self.clone();
        pages(request.page_token.clone(), move |page_token| {
            let client = client.clone();
            let mut request = request.clone();
            request.page_token = page_token;
            async move {
                let page = client.list_batches(request).await?;
                Ok((page.batches, page.next_page_token))
            }
        })
    }

    /// Reads one page of the audit log.
    ///
    /// # Errors
    /// `NOT_FOUND` for a job that no kept event speaks of, `OUT_OF_RANGE` for a cursor older than what is kept, `INVALID_ARGUMENT` for
    /// anything else that is wrong.
    pub async fn list_events(
        &self,
        request: ListEventsRequest,
    ) -> Result<ListEventsResponse, Error> {
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.events.list_events(request).await
        })
        .await
    }

    /// Reads the events of all pages, one page at a time as they are taken, until there are no more. Ends after the first error.
    pub fn events(
        &self,
        request: ListEventsRequest,
    ) -> impl Stream<Item = Result<AuditEvent, Error>> + Send + 'static {
        let client = self.clone();
        pages(request.page_token.clone(), move |page_token| {
            let client = client.clone();
            let mut request = request.clone();
            if !page_token.is_empty() {
                request.after = String::new();
            }
            request.page_token = page_token;
            async move {
                let page = client.list_events(request).await?;
                Ok((page.events, page.next_page_token))
            }
        })
    }

    /// Reads one page of the pipes that a partition's jobs have used.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad partition or page token.
    pub async fn list_pipes(&self, request: ListPipesRequest) -> Result<ListPipesResponse, Error> {
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.pipes.list_pipes(request).await
        })
        .await
    }

    /// Reads the pipes of all pages, one page at a time as they are taken. Ends after the first error.
    pub fn pipes(
        &self,
        partition: &str,
    ) -> impl Stream<Item = Result<Pipe, Error>> + Send + 'static {
        let client = self.clone();
        let parent = format!("partitions/{partition}");
        pages(String::new(), move |page_token| {
            let client = client.clone();
            let request = ListPipesRequest {
                parent: parent.clone(),
                page_token,
                ..ListPipesRequest::default()
            };
            async move {
                let page = client.list_pipes(request).await?;
                Ok((page.pipes, page.next_page_token))
            }
        })
    }
}
