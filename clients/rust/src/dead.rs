//! The calls about dead letters.

use futures::Stream;
use headway::v1::{
    DeadLetter, DropDeadLettersRequest, DropDeadLettersResponse, ListDeadLettersRequest,
};

use crate::{Client, Error, client::pages, retry::Repeat};

impl Client {
    /// Reads the dead letters of all pages, one page at a time as they are taken. Ends after the first error.
    pub fn dead_letters(
        &self,
        request: ListDeadLettersRequest,
    ) -> impl Stream<Item = Result<DeadLetter, Error>> + Send + 'static {
        let client = self.clone();
        pages(request.page_token.clone(), move |page_token| {
            let client = client.clone();
            let request = ListDeadLettersRequest {
                page_token,
                ..request.clone()
            };
            async move {
                let page = client
                    .call(Repeat::Harmless, request, |mut stubs, request| async move {
                        stubs.pipes.list_dead_letters(request).await
                    })
                    .await?;
                Ok((page.dead_letters, page.next_page_token))
            }
        })
    }

    /// Forgets what is known of some dead letters but that their items failed.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad partition, pipe or job, and where `all` is not said.
    pub async fn drop_dead_letters(
        &self,
        request: DropDeadLettersRequest,
    ) -> Result<DropDeadLettersResponse, Error> {
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.pipes.drop_dead_letters(request).await
        })
        .await
    }
}
