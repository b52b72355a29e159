//! What the port serves to browsers and load balancers beside the gRPC services: grpc-web (see
//! [`crate::serve`]), CORS, and `/healthz`.

use std::time::Duration;

use axum::{
    http::{HeaderName, HeaderValue, Method, StatusCode, header::CONTENT_TYPE},
    routing::{MethodRouter, get},
};
use headway_runtime::Readiness;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// The path at which load balancers ask whether the process serves.
pub(crate) const HEALTH: &str = "/healthz";
/// How long a browser may remember what it may do.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// The headers that a browser may send.
const SENT: [HeaderName; 9] = [
    CONTENT_TYPE,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-headway-user"),
    HeaderName::from_static("x-headway-user-bin"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("x-correlation-id-bin"),
    HeaderName::from_static("x-user-agent"),
    HeaderName::from_static("connect-protocol-version"),
];
/// The headers that a page may read: errors, with their details.
const SHOWN: [HeaderName; 3] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
];

/// Lets pages of these origins call the services, beside those of the server's own origin.
pub(crate) fn cors(origins: &[HeaderValue]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_methods([Method::POST])
        .allow_headers(SENT)
        .expose_headers(SHOWN)
        .max_age(REMEMBERED)
}

/// Answers 200 while the process serves, and 503 before and after.
pub(crate) fn health(readiness: Readiness) -> MethodRouter {
    get(move || {
        let (status, text) = match readiness.is_serving() {
            true => (StatusCode::OK, "serving\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "not serving\n"),
        };
        std::future::ready((status, text))
    })
}
