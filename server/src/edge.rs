//! Around every call: how many at once, how long, what is logged, and details for errors that the gRPC library
//! makes by itself.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{sync::Semaphore, time::Instant};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
};
use tower::Layer;
use tracing::Instrument;

use crate::grpc::status::{ApiError, Refusal};

/// Calls of standard services, whose errors are the standard's.
const STANDARD: &str = "/grpc.";

/// The layer.
#[derive(Debug, Clone)]
pub(crate) struct EdgeLayer {
    calls: Arc<Semaphore>,
    timeout: Duration,
}

impl EdgeLayer {
    /// At most so many calls at once, each of which begins to answer within `timeout`. A call counts until its
    /// answer begins, so an open stream does not.
    pub(crate) fn new(calls: usize, timeout: Duration) -> Self {
        Self {
            calls: Arc::new(Semaphore::new(calls.clamp(1, Semaphore::MAX_PERMITS))),
            timeout,
        }
    }
}

impl<S> Layer<S> for EdgeLayer {
    type Service = Edge<S>;

    fn layer(&self, inner: S) -> Edge<S> {
        Edge {
            inner,
            edge: self.clone(),
        }
    }
}

/// The service within the layer.
#[derive(Debug, Clone)]
pub(crate) struct Edge<S> {
    inner: S,
    edge: EdgeLayer,
}

impl<S> Service<http::Request<Body>> for Edge<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path().to_owned();
        let span = tracing::debug_span!("call", method = %path);
        // The service that was polled ready is the one to call; the clone takes its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let edge = self.edge.clone();
        let answer = async move {
            let started = Instant::now();
            let answer = edge.answer(&path, || inner.call(request)).await;
            if let Ok(response) = &answer {
                let code = status_of(response).map(|status| status.code());
                let latency_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                tracing::debug!(code = ?code.unwrap_or(Code::Ok), latency_us, "answered");
            }
            answer
        };
        Box::pin(answer.instrument(span))
    }
}

impl EdgeLayer {
    async fn answer<F, E>(
        &self,
        path: &str,
        call: impl FnOnce() -> F,
    ) -> Result<http::Response<Body>, E>
    where
        F: Future<Output = Result<http::Response<Body>, E>>,
    {
        let standard = path.starts_with(STANDARD);
        // Health must answer however busy the server is.
        let _permit = if standard {
            None
        } else {
            match self.calls.try_acquire() {
                Ok(permit) => Some(permit),
                Err(_) => return Ok(Status::from(ApiError::Overloaded).into_http()),
            }
        };
        let response = match tokio::time::timeout(self.timeout, call()).await {
            Ok(response) => response?,
            Err(_) => {
                tracing::warn!(method = %path, "a call took too long");
                return Ok(Status::from(ApiError::TooSlow(self.timeout)).into_http());
            }
        };
        if standard {
            return Ok(response);
        }
        let status = status_of(&response);
        Ok(match status {
            // Ours have details; what has none was made before the call reached us.
            Some(status) if status.details().is_empty() && status.code() != Code::Ok => {
                let refusal = Refusal {
                    code: status.code(),
                    path: path.to_owned(),
                    message: status.message().to_owned(),
                };
                Status::from(ApiError::Transport(refusal)).into_http()
            }
            Some(_) | None => response,
        })
    }
}

/// The status of an answer that consists of nothing else; `None` for one that begins well.
fn status_of(response: &http::Response<Body>) -> Option<Status> {
    // Read from the headers, for not every path of the library leaves it anywhere else.
    Status::from_header_map(response.headers())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tonic_types::StatusExt;

    use super::*;

    const METHOD: &str = "/headway.v1.JobService/GetJob";

    fn reason(response: &http::Response<Body>) -> Option<String> {
        Some(
            status_of(response)?
                .get_error_details()
                .error_info()?
                .reason
                .clone(),
        )
    }

    async fn answer(
        edge: &EdgeLayer,
        path: &str,
        result: http::Response<Body>,
    ) -> http::Response<Body> {
        let answer = edge.answer(path, || async { Ok::<_, Infallible>(result) });
        answer.await.unwrap()
    }

    #[tokio::test]
    async fn errors_of_the_library_get_details_and_ours_stay() {
        let edge = EdgeLayer::new(1, Duration::from_secs(1));
        let bare = Status::internal("recursion limit reached").into_http();
        let detailed = answer(&edge, METHOD, bare).await;
        assert_eq!(reason(&detailed).as_deref(), Some("MALFORMED_REQUEST"));
        assert_eq!(detailed.headers()["grpc-status"], "3");

        let ours = Status::from(ApiError::Stopping).into_http();
        let same = answer(&edge, METHOD, ours).await;
        assert_eq!(reason(&same).as_deref(), Some("SERVER_STOPPING"));

        let standard = Status::not_found("service not registered").into_http();
        let same = answer(&edge, "/grpc.health.v1.Health/Check", standard).await;
        assert_eq!(same.headers()["grpc-status"], "5");
        assert_eq!(reason(&same), None);
    }

    #[tokio::test]
    async fn too_many_calls_are_told_to_come_back_but_health_answers() {
        let edge = EdgeLayer::new(1, Duration::from_secs(1));
        let held = edge.calls.try_acquire().unwrap();
        let fine = || Status::ok("").into_http();
        let refused = answer(&edge, METHOD, fine()).await;
        assert_eq!(reason(&refused).as_deref(), Some("SERVER_OVERLOADED"));
        let health = answer(&edge, "/grpc.health.v1.Health/Check", fine()).await;
        assert_eq!(health.headers()["grpc-status"], "0");
        drop(held);
        let taken = answer(&edge, METHOD, fine()).await;
        assert_eq!(taken.headers()["grpc-status"], "0");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_is_ended() {
        let edge = EdgeLayer::new(1, Duration::from_secs(1));
        let hang = std::future::pending::<Result<http::Response<Body>, Infallible>>;
        let answer = edge.answer(METHOD, hang).await.unwrap();
        assert_eq!(reason(&answer).as_deref(), Some("SERVER_TOO_SLOW"));
        assert_eq!(edge.calls.available_permits(), 1);
    }
}
