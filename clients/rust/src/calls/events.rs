//! The audit log.

use futures::Stream;
use headway::v1::{AuditEvent, ListEventsRequest, ListEventsResponse};

use crate::{Client, Error, client::pages, retry::Repeat};

impl Client {
    /// Reads one page of the audit log.
    ///
    /// # Errors
    /// `NOT_FOUND` for a job that no kept event speaks of, `OUT_OF_RANGE` for a cursor older than
    /// what is kept, `INVALID_ARGUMENT` for anything else that is wrong.
    pub async fn list_events(
        &self,
        request: ListEventsRequest,
    ) -> Result<ListEventsResponse, Error> {
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.events.list_events(request).await
        })
        .await
    }

    /// Reads the events of all pages, one page at a time as they are taken, until there are no
    /// more. Ends after the first error.
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
}
