//! The calls about what pipes take of all partitions together.

use headway::v1::{GetPipeLimitsRequest, ListPipeLimitsRequest, PipeLimits, SetPipeLimitsRequest};

use crate::{Client, Error, retry::Repeat};

/// Entries of a page.
const PAGE: i32 = 1000;

impl Client {
    /// Reads the limits of a pipe; 0 stands for none.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad pipe.
    pub async fn pipe_limits(&self, pipe: &str) -> Result<PipeLimits, Error> {
        let pipe = format!("pipes/{pipe}");
        let request = GetPipeLimitsRequest { pipe };
        self.call(Repeat::Harmless, request, |mut stub, request| async move {
            stub.get_pipe_limits(request).await
        })
        .await
    }

    /// Says what a pipe takes: items in it and at its workers, and items per second; 0 for no limit. Holds within a second for
    /// what is sent from then on.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a bad pipe or limit.
    pub async fn set_pipe_limits(
        &self,
        pipe: &str,
        max_in_flight: i32,
        max_per_second: f64,
    ) -> Result<PipeLimits, Error> {
        let limits = PipeLimits {
            pipe: format!("pipes/{pipe}"),
            max_in_flight,
            max_per_second,
        };
        let limits = Some(limits);
        let request = SetPipeLimitsRequest { limits };
        self.call(Repeat::Harmless, request, |mut stub, request| async move {
            stub.set_pipe_limits(request).await
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
                .call(Repeat::Harmless, request, |mut stub, request| async move {
                    stub.list_pipe_limits(request).await
                })
                .await?;
            all.extend(response.limits);
            page_token = response.next_page_token;
            if page_token.is_empty() {
                return Ok(all);
            }
        }
    }
}
