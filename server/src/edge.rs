//! What surrounds every call: how many run at once, in all and for each client, how long they take,
//! what is logged, what happens at a panic, and details for errors that the gRPC library makes by
//! itself.

mod held;
mod places;

use std::{
    net::IpAddr,
    panic::AssertUnwindSafe,
    task::{Context, Poll},
    time::Duration,
};

use futures::FutureExt;
use tokio::time::Instant;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
};
use tower::Layer;
use tracing::Instrument;
use uuid::Uuid;

use self::{held::held, places::Takes};
use crate::{
    Limits,
    accept::STREAMS,
    connection::{Peer, UnderWay},
    gate,
    grpc::status::{ApiError, Refusal},
    shares::{Client, Shares},
};

/// The header in which a client says how much time it gives a call.
const TIMEOUT: &str = "grpc-timeout";
/// How long before a client's deadline the server answers, at most.
const EARLY: Duration = Duration::from_millis(50);

/// The protocol of a request.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A call of a service by gRPC.
    Grpc,
    /// The same by grpc-web, with the content type of the answer.
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
            // A method is never a page, so no content type lets a call bypass places and timeouts.
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
    calls: Shares,
    job_watches: Shares,
    partition_watches: Shares,
    standard: Shares,
    limits: Limits,
}

impl EdgeLayer {
    /// Bounds calls by these limits. A call counts until its answer begins. An open stream then
    /// counts among the watches instead.
    pub(crate) fn new(limits: &Limits) -> Self {
        let shares = |most| Shares::new(most, limits.client_share);
        Self {
            calls: shares(limits.calls),
            job_watches: shares(limits.watches),
            partition_watches: shares(limits.partition_watches),
            standard: shares(limits.standard_calls),
            limits: limits.clone(),
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
        let call = Call::of(&request);
        let span = tracing::debug_span!("call", method = %call.path);
        // Call the service that was polled ready; the clone takes its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let edge = self.edge.clone();
        let answer = async move {
            let started = Instant::now();
            let answer = edge.answer(call, || inner.call(request)).await;
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

/// A call before it is made.
#[derive(Debug)]
struct Call {
    path: String,
    kind: Kind,
    /// The time that the client gives it.
    time: Option<Duration>,
    peer: Peer,
    under_way: UnderWay,
}

impl Call {
    fn of<B>(request: &http::Request<B>) -> Self {
        // Every connection has a peer; only tests make calls without one.
        let peer = request.extensions().get::<Peer>().cloned();
        let peer = peer.unwrap_or_else(|| Peer::new(Client::from(IpAddr::from([127, 0, 0, 1]))));
        Self {
            path: request.uri().path().to_owned(),
            kind: Kind::of(request),
            time: request.headers().get(TIMEOUT).and_then(time_of),
            under_way: peer.begin(),
            peer,
        }
    }
}

/// The time that a client gives a call: up to eight digits and a unit.
fn time_of(header: &http::HeaderValue) -> Option<Duration> {
    let text = header.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number = Some(digits).filter(|digits| digits.len() <= 8)?;
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number.saturating_mul(3600)),
        "M" => Duration::from_secs(number.saturating_mul(60)),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

impl EdgeLayer {
    async fn answer<F, E>(
        &self,
        call: Call,
        make: impl FnOnce() -> F,
    ) -> Result<http::Response<Body>, E>
    where
        F: Future<Output = Result<http::Response<Body>, E>>,
    {
        let Call {
            path,
            kind,
            time,
            peer,
            under_way,
        } = call;
        let make = AssertUnwindSafe(async move { make().await }).catch_unwind();
        if matches!(kind, Kind::Page) {
            let answer = match make.await {
                Ok(answer) => answer?,
                Err(panic) => {
                    let incident = log_panic(&path, panic.as_ref());
                    let text = format!(
                        "an internal fault; the server's log says more at incident {incident}\n"
                    );
                    let mut answer = http::Response::new(Body::new(text));
                    *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                    answer
                }
            };
            return Ok(held(answer, under_way));
        }
        let takes = Takes::of(&path);
        let (call_place, stream_place) = match self.places(takes, peer.client()) {
            Ok(places) => places,
            Err(error) => return Ok(held(kind.refuse(error), under_way)),
        };
        let open = match takes {
            Takes::Call => None,
            Takes::JobWatch | Takes::PartitionWatch | Takes::Standard => {
                match peer.open_stream(STREAMS) {
                    Some(open) => Some(open),
                    None => return Ok(kind.refuse(ApiError::TooManyStreams(STREAMS))),
                }
            }
        };
        // The client should read why, before it gives up by itself.
        let time = time.map(|time| time.saturating_sub((time / 10).min(EARLY)));
        let limit = self.limits.call_timeout.min(time.unwrap_or(Duration::MAX));
        let response = match tokio::time::timeout(limit, make).await {
            Ok(Ok(response)) => response?,
            Ok(Err(panic)) => {
                let incident = log_panic(&path, panic.as_ref());
                kind.refuse(ApiError::Panicked(incident))
            }
            Err(_) if limit < self.limits.call_timeout => kind.refuse(ApiError::Deadline),
            Err(_) => {
                tracing::warn!(method = %path, "a call took too long; answered DEADLINE_EXCEEDED");
                kind.refuse(ApiError::TooSlow(limit))
            }
        };
        drop(call_place);
        let response = match takes {
            Takes::Standard => response,
            Takes::Call | Takes::JobWatch | Takes::PartitionWatch => {
                detailed(response, &kind, path)
            }
        };
        Ok(held(response, (under_way, stream_place, open)))
    }
}

/// Adds details to an answer that is an error of the library.
fn detailed(response: http::Response<Body>, kind: &Kind, path: String) -> http::Response<Body> {
    match status_of(&response) {
        // Our errors have details. An error without any was made before the call reached us.
        Some(status) if status.details().is_empty() && status.code() != Code::Ok => {
            let refusal = Refusal {
                code: status.code(),
                path,
                message: status.message().to_owned(),
            };
            kind.refuse(ApiError::Transport(refusal))
        }
        Some(_) | None => response,
    }
}

/// Logs the message of a panic. Returns the incident number of the log.
fn log_panic(path: &str, panic: &(dyn std::any::Any + Send)) -> Uuid {
    let incident = Uuid::new_v4();
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(method = %path, %incident, panic = said.unwrap_or_default(), "a call failed because its method panicked");
    incident
}

/// The status of an answer that is only an error; `None` for one that begins well.
fn status_of(response: &http::Response<Body>) -> Option<Status> {
    // Read it from the headers, because not every path of the library keeps it elsewhere.
    Status::from_header_map(response.headers())
}

#[cfg(test)]
mod tests;
