//! The outermost layer. It decides which requests are let in, by content type, host and origin,
//! before anything else reads the request.
//!
//! A browser sends a request of a foreign page without asking if its content type is a plain one.
//! And a foreign page can make a name of its own point to this server (DNS rebinding). So a service
//! takes only the content types of gRPC, which no browser sends to another origin without asking.
//! And every request must name a host by which this server is known.

use std::{
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS},
    uri::Authority,
};
use bytes::Bytes;
use http_body_util::BodyExt;
use tonic::{
    Status,
    body::Body,
    codegen::{BoxFuture, Service},
};
use tower::Layer;

use crate::{gateway, grpc::status::ApiError};

/// The content types that a service takes. `+json` is a codec that the server does not have.
const CONTENT_TYPES: [&str; 6] = [
    "application/grpc",
    "application/grpc+proto",
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "application/grpc-web-text+proto",
];
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
/// The most bytes of a client's value that a refusal repeats.
const SHOWN: usize = 100;

/// How much of a refused request is read before it is answered: bytes and time.
const READ_ON: (usize, Duration) = (64 * 1024, Duration::from_secs(1));

/// Why a request is refused.
#[derive(Debug)]
pub(crate) enum Door {
    /// It names this host, by which the server is not known.
    Host(String),
    /// It comes from a page of this origin.
    Origin(String),
}

impl Door {
    /// The status of an answer that is not gRPC's.
    fn http(&self) -> StatusCode {
        match self {
            Self::Host(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin(_) => StatusCode::FORBIDDEN,
        }
    }

    /// What to do, for people.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Host(host) => format!(
                "this server does not answer to the host {host:?}: call it by localhost or by its IP address, or add the host \
                 to the setting `hosts` (HEADWAY_HOSTS)"
            ),
            Self::Origin(origin) => format!(
                "pages of the origin {origin:?} may not call this server: add the origin to the setting `web_origins` \
                 (HEADWAY_WEB_ORIGINS)"
            ),
        }
    }
}

/// Whether a path is one of a service's method: `/{package}.{Service}/{Method}`.
pub(crate) fn is_method(path: &str) -> bool {
    let mut parts = path.strip_prefix('/').unwrap_or(path).split('/');
    let (service, method, rest) = (parts.next(), parts.next(), parts.next());
    service.is_some_and(|service| service.contains('.')) && method.is_some() && rest.is_none()
}

/// The content type of a call, without parameters, if a service takes it.
fn call_type(headers: &HeaderMap) -> Option<&'static str> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let essence = value.to_str().ok()?.split(';').next()?.trim();
    let known = CONTENT_TYPES.into_iter();
    let mut known = known.filter(|known| known.eq_ignore_ascii_case(essence));
    known.next()
}

/// The names by which clients may call the server.
#[derive(Debug, Default)]
struct Hosts {
    /// In small letters. A name that begins with a dot stands for all names that end so.
    names: Vec<String>,
    /// Other origins whose pages may call.
    origins: Vec<HeaderValue>,
}

impl Hosts {
    /// Whether a request may name this host. Nobody's DNS can point a literal address to another
    /// server.
    fn allows(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let literal = host.strip_prefix('[').and_then(|v6| v6.strip_suffix(']'));
        let address = literal.unwrap_or(&host).parse::<IpAddr>();
        address.is_ok() || host == "localhost" || self.names(&host)
    }

    /// Whether the configuration names this host.
    fn names(&self, host: &str) -> bool {
        self.names.iter().any(|name| match name.strip_prefix('*') {
            Some(end) => host.ends_with(end) && host.len() > end.len(),
            None => host == name,
        })
    }

    /// Whether a page of this origin may call a server that it reached as `target`.
    fn allows_origin(&self, origin: &HeaderValue, target: Option<&Authority>) -> bool {
        if self.origins.contains(origin) {
            return true;
        }
        let text = origin.to_str().ok().and_then(|text| {
            let (scheme, authority) = text.split_once("://")?;
            Some((scheme, authority.parse::<Authority>().ok()?))
        });
        let Some((scheme, authority)) = text else {
            return false;
        };
        let default = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
        let same = target.is_some_and(|target| {
            target.host().eq_ignore_ascii_case(authority.host()) && port(target) == port(&authority)
        });
        // A proxy may have put another host into the request.
        same || self.names(&authority.host().to_ascii_lowercase())
    }

    /// Why a request is refused, if it is.
    fn refusal(&self, request: &Request<Body>) -> Option<Door> {
        let header = request.headers().get_all(HOST).iter();
        let named = header.map(|host| {
            let host = host.to_str().ok().and_then(|host| host.parse().ok());
            host.ok_or(Door::Host(String::new()))
        });
        let target = request.uri().authority().cloned().map(Ok);
        let mut seen = None;
        for host in target.into_iter().chain(named) {
            let host: Authority = match host {
                Ok(host) => host,
                Err(door) => return Some(door),
            };
            if !self.allows(host.host()) {
                return Some(Door::Host(shown(host.host())));
            }
            seen.get_or_insert(host);
        }
        let mut origins = request.headers().get_all(ORIGIN).iter();
        let foreign = origins.find(|origin| !self.allows_origin(origin, seen.as_ref()));
        foreign.map(|origin| Door::Origin(shown(origin.to_str().unwrap_or_default())))
    }
}

fn shown(text: &str) -> String {
    headway_domain::values::text::clean(text, SHOWN)
}

/// The layer.
#[derive(Debug, Clone)]
pub(crate) struct GateLayer {
    hosts: Arc<Hosts>,
}

impl GateLayer {
    /// Lets in requests that name a loopback name, an address, or one of these hosts
    /// (`*.example.org` for all names below), from pages of the server itself and of these origins.
    pub(crate) fn new(hosts: &[String], origins: &[HeaderValue]) -> Self {
        let names = hosts.iter().map(|host| host.to_ascii_lowercase());
        Self {
            hosts: Arc::new(Hosts {
                names: names.collect(),
                origins: origins.to_vec(),
            }),
        }
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate {
            inner,
            hosts: Arc::clone(&self.hosts),
        }
    }
}

/// The service within the layer.
#[derive(Debug, Clone)]
pub(crate) struct Gate<S> {
    inner: S,
    hosts: Arc<Hosts>,
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        match check(&self.hosts, &mut request) {
            None => Box::pin(self.inner.call(request)),
            Some(refusal) => {
                let body = request.into_body();
                Box::pin(async move {
                    read_on(body).await;
                    Ok(refusal)
                })
            }
        }
    }
}

/// Reads a body to its end and drops it, within [`READ_ON`]. With HTTP/2, a reset of the stream
/// follows an answer to an unfinished request. Some clients, such as older versions of curl, then
/// show an error instead of the answer.
async fn read_on(mut body: Body) {
    let mut left = READ_ON.0;
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // The answer is the same whether the body ended or not.
    let _ = tokio::time::timeout(READ_ON.1, read).await;
}

/// The answer to a refused request, or `None`.
fn check(hosts: &Hosts, request: &mut Request<Body>) -> Option<Response<Body>> {
    // Load balancers use any name here, and learn one word.
    if request.uri().path() == gateway::HEALTH {
        return None;
    }
    let method = is_method(request.uri().path());
    let preflight = request.method() == Method::OPTIONS;
    let call_type = call_type(request.headers()).filter(|_| method && !preflight);
    if let Some(door) = hosts.refusal(request) {
        tracing::debug!(refusal = ?door, "refused a request");
        let Some(call_type) = call_type else {
            return Some(page(
                door.http(),
                &format!("{}\n", door.sentence()),
                "text/plain; charset=utf-8",
            ));
        };
        let mut answer = Status::from(ApiError::Door(door)).into_http();
        let call_type = HeaderValue::from_static(call_type);
        answer.headers_mut().insert(CONTENT_TYPE, call_type);
        return Some(answer);
    }
    if !method || preflight {
        return None;
    }
    match call_type {
        Some(call_type) => {
            // Without parameters and in small letters, as the layers within compare it.
            let call_type = HeaderValue::from_static(call_type);
            request.headers_mut().insert(CONTENT_TYPE, call_type);
            None
        }
        None => Some(unsupported(request.headers())),
    }
}

/// 415, in JSON for clients that would read nothing else.
fn unsupported(headers: &HeaderMap) -> Response<Body> {
    let sentence = "this path is a method of a gRPC service: call it with POST and the content type application/grpc or \
                    application/grpc-web, and messages in protobuf; JSON and the Connect protocol are not served";
    let given = headers
        .get(CONTENT_TYPE)
        .and_then(|given| given.to_str().ok());
    let json = given.is_some_and(|given| given.contains("json") || given.contains("connect"))
        || headers.contains_key("connect-protocol-version");
    let mut answer = match json {
        true => {
            // The shape of Connect's errors.
            let body = serde_json::json!({"code": "unimplemented", "message": sentence});
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            page(status, &body.to_string(), "application/json")
        }
        false => {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            page(
                status,
                &format!("{sentence}\n"),
                "text/plain; charset=utf-8",
            )
        }
    };
    let taken = HeaderValue::from_static("application/grpc, application/grpc-web");
    answer.headers_mut().insert(ACCEPT_POST, taken);
    answer
}

fn page(status: StatusCode, text: &str, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(axum::body::Body::from(text.to_owned())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
