//! Pipes: what they hold, their limits over all partitions, and their dead letters.

use futures::Stream;
use headway::v1::{
    DeadLetter, DropDeadLettersRequest, DropDeadLettersResponse, GetPipeLimitsRequest,
    ListDeadLettersRequest, ListPipeLimitsRequest, ListPipesRequest, ListPipesResponse, Pipe,
    PipeLimits, UpdatePipeLimitsRequest,
};

use crate::{
    Client, Error,
    client::{mask, pages},
    retry::Repeat,
};

/// Entries of a page.
const PAGE: i32 = 1000;

/// `pipes/{pipe}/limits`.
pub fn pipe_limits_name(pipe: &str) -> String {
    format!("pipes/{pipe}/limits")
}

impl Client {
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

    /// Reads the pipes of all pages, one page at a time as they are taken. Ends after the first
    /// error.
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

    /// Reads the limits of a pipe; 0 stands for none.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad pipe.
    pub async fn pipe_limits(&self, pipe: &str) -> Result<PipeLimits, Error> {
        let name = pipe_limits_name(pipe);
        let request = GetPipeLimitsRequest { name };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.pipes.get_pipe_limits(request).await
        })
        .await
    }

    /// Says what a pipe takes: items in it and at its workers, and items per second; 0 for no
    /// limit. Holds within a second for what is sent from then on.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad pipe or limit.
    pub async fn limit_pipe(
        &self,
        pipe: &str,
        max_in_flight: i32,
        max_per_second: f64,
    ) -> Result<PipeLimits, Error> {
        let limits = PipeLimits {
            name: pipe_limits_name(pipe),
            max_in_flight,
            max_per_second,
            etag: String::new(),
        };
        let paths = ["max_in_flight", "max_per_second"];
        self.update_pipe_limits(limits, &paths).await
    }

    /// Changes what is named of a pipe's limits: `max_in_flight`, `max_per_second`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad pipe or limit, `ABORTED` if the limits do not have the etag
    /// that is set.
    pub async fn update_pipe_limits(
        &self,
        limits: PipeLimits,
        paths: &[&str],
    ) -> Result<PipeLimits, Error> {
        let request = UpdatePipeLimitsRequest {
            pipe_limits: Some(limits),
            update_mask: mask(paths),
            ..UpdatePipeLimitsRequest::default()
        };
        self.call(Repeat::Harmless, request, |mut stubs, request| async move {
            stubs.pipes.update_pipe_limits(request).await
        })
        .await
    }

    /// Lists the limits of the pipes that have any, by name.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn all_pipe_limits(&self) -> Result<Vec<PipeLimits>, Error> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListPipeLimitsRequest {
                page_size: PAGE,
                page_token,
            };
            let response = self
                .call(Repeat::Harmless, request, |mut stubs, request| async move {
                    stubs.pipes.list_pipe_limits(request).await
                })
                .await?;
            all.extend(response.pipe_limits);
            page_token = response.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }

    /// Reads the dead letters of all pages, one page at a time as they are taken. Ends after the
    /// first error.
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
