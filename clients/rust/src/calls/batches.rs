//! The batches of a job.

use futures::Stream;
use headway::v1::{Batch, ListBatchesRequest, ListBatchesResponse};

use crate::{Client, Error, client::pages, retry::Repeat};

impl Client {
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

    /// Reads the batches of all pages, one page at a time as they are taken. Ends after the first
    /// error.
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
}
