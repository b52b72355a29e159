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

use crate::{
    gate,
    grpc::status::{ApiError, Refusal},
};

/// Calls of standard services, whose errors are the standard's.
const STANDARD: &str = "/grpc.";

/// What a request asks for.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A call of a service by gRPC.
    Grpc,
    /// The same by grpc-web, with the content type of its answer.
    Web(http::HeaderValue),
    /// Something else, such as health by HTTP.
    Page,
}

impl Kind {
    /// The kind of a request that [`crate::gate`] let in.
    pub(crate) fn of<B>(request: &http::Request<B>) -> Self {
        if !gate::is_method(request.uri().path()) {
            return Self::Page;
        }
        match request.headers().get(http::header::CONTENT_TYPE) {
            Some(content) if content.as_bytes().starts_with(b"application/grpc-web") => {
                Self::Web(content.clone())
            }
            // A method is never a page, so that no content type gets a call around permits and timeouts.
            Some(_) | None => Self::Grpc,
        }
    }

    /// An answer that consists of an error.
    pub(crate) fn refuse(&self, error: ApiError) -> http::Response<Body> {
        let mut answer = Status::from(error).into_http();
        if let Self::Web(content) = self {
            answer
                .headers_mut()
                .insert(http::header::CONTENT_TYPE, content.clone());
        }
        answer
    }
}

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
        let kind = Kind::of(&request);
        let span = tracing::debug_span!("call", method = %path);
        // The service that was polled ready is the one to call; the clone takes its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let edge = self.edge.clone();
        let answer = async move {
            let started = Instant::now();
            let answer = edge.answer(&path, kind, || inner.call(request)).await;
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
        kind: Kind,
        call: impl FnOnce() -> F,
    ) -> Result<http::Response<Body>, E>
    where
        F: Future<Output = Result<http::Response<Body>, E>>,
    {
        if matches!(kind, Kind::Page) {
            return call().await;
        }
        let standard = path.starts_with(STANDARD);
        // Health must answer however busy the server is.
        let _permit = if standard {
            None
        } else {
            match self.calls.try_acquire() {
                Ok(permit) => Some(permit),
                Err(_) => return Ok(kind.refuse(ApiError::Overloaded)),
            }
        };
        let response = match tokio::time::timeout(self.timeout, call()).await {
            Ok(response) => response?,
            Err(_) => {
                tracing::warn!(method = %path, "a call took too long");
                return Ok(kind.refuse(ApiError::TooSlow(self.timeout)));
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
                kind.refuse(ApiError::Transport(refusal))
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
        let answer = edge.answer(path, Kind::Grpc, || async { Ok::<_, Infallible>(result) });
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
        let answer = edge.answer(METHOD, Kind::Grpc, hang).await.unwrap();
        assert_eq!(reason(&answer).as_deref(), Some("SERVER_TOO_SLOW"));
        assert_eq!(edge.calls.available_permits(), 1);
    }

    #[tokio::test]
    async fn browsers_can_read_refusals_and_pages_are_left_alone() {
        let edge = EdgeLayer::new(1, Duration::from_secs(1));
        let _held = edge.calls.try_acquire().unwrap();
        let fine = || async { Ok::<_, Infallible>(http::Response::new(Body::empty())) };
        let content = http::HeaderValue::from_static("application/grpc-web+proto");
        let request = http::Request::builder()
            .uri(METHOD)
            .header(http::header::CONTENT_TYPE, &content)
            .body(())
            .unwrap();
        let refused = edge.answer(METHOD, Kind::of(&request), fine).await.unwrap();
        assert_eq!(refused.headers()[http::header::CONTENT_TYPE], content);
        assert_eq!(reason(&refused).as_deref(), Some("SERVER_OVERLOADED"));
        let page = Kind::of(&http::Request::new(()));
        let page = edge.answer("/healthz", page, fine).await.unwrap();
        assert!(page.headers().is_empty());
    }
}
