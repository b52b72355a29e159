//! The failures of a job.

use futures::Stream;
use headway::v1::{Failure, FailureFilter, ListFailuresRequest, ListFailuresResponse};

use crate::{Client, Error, JobName, client::pages, retry::Repeat};

impl Client {
    /// Reads one page of the failures of a job's present run, oldest first.
    ///
    /// # Errors
    /// `NOT_FOUND`, `INVALID_ARGUMENT` for a bad page token.
    pub async fn list_failures(
        &self,
        request: ListFailuresRequest,
    ) -> Result<ListFailuresResponse, Error> {
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.jobs.list_failures(request).await
        })
        .await
    }

    /// Reads the failures of all pages, one page at a time as they are taken. Ends after the
    /// first error.
    pub fn failures(
        &self,
        name: &JobName,
        page_size: i32,
    ) -> impl Stream<Item = Result<Failure, Error>> + Send + 'static {
        self.failures_like(name, None, page_size)
    }

    /// As [`Client::failures`], of the failures that a filter means.
    pub fn failures_like(
        &self,
        name: &JobName,
        filter: Option<FailureFilter>,
        page_size: i32,
    ) -> impl Stream<Item = Result<Failure, Error>> + Send + 'static {
        let client = self.clone();
        let parent = name.to_string();
        pages(String::new(), move |page_token| {
            let client = client.clone();
            let request = ListFailuresRequest {
                parent: parent.clone(),
                page_size,
                page_token,
                failure_filter: filter.clone(),
            };
            async move {
                let page = client.list_failures(request).await?;
                Ok((page.failures, page.next_page_token))
            }
        })
    }
}
