//! Who is let in.

use std::convert::Infallible;

use futures::{FutureExt, Stream, StreamExt, channel::mpsc, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::time::Instant;
use tower::service_fn;

use super::*;

const METHOD: &str = "/headway.v1.JobService/CreateJob";

fn hosts() -> Hosts {
    Hosts {
        names: vec![
            "jobs.example.org".to_owned(),
            "*.inner.example.org".to_owned(),
        ],
        origins: vec![HeaderValue::from_static("https://console.example.org")],
    }
}

/// The status of the answer to a refused request; `None` for one that is let in.
fn refused(path: &str, headers: &[(&str, &str)]) -> Option<u16> {
    let mut request = Request::builder().method("POST").uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let answer = check(&hosts(), &mut request)?;
    Some(answer.status().as_u16())
}

#[test]
fn hosts_are_addresses_loopback_and_what_is_configured() {
    for host in [
        "127.0.0.1:6420",
        "[::1]:6420",
        "192.168.1.7",
        "[fe80::1]",
        "localhost:6420",
        "LOCALHOST",
        "localhost.",
        "jobs.example.org",
        "Jobs.Example.Org:8443",
        "a.inner.example.org",
    ] {
        assert_eq!(refused("/", &[("host", host)]), None, "{host}");
    }
    for host in [
        "evil.example.com",
        "localhost.evil.example.com",
        "127.0.0.1.evil.example.com",
        "inner.example.org",
        "xjobs.example.org",
        "0x7f000001",
        "2130706433",
        "",
    ] {
        assert_eq!(refused("/", &[("host", host)]), Some(421), "{host}");
    }
    // HTTP/2 names the host in the target; a header beside it must be allowed too.
    let target = "http://evil.example.com/";
    assert_eq!(refused(target, &[("host", "localhost")]), Some(421));
    let target = "http://localhost/";
    assert_eq!(refused(target, &[("host", "evil.example.com")]), Some(421));
    // HTTP/1.0 has no host, and no browser speaks it.
    assert_eq!(refused("/", &[]), None);
    assert_eq!(refused("/healthz", &[("host", "anything")]), None);
}

#[test]
fn origins_are_the_servers_own_and_what_is_configured() {
    let own = ("host", "127.0.0.1:6420");
    for origin in [
        "http://127.0.0.1:6420",
        "https://console.example.org",
        "https://jobs.example.org",
    ] {
        assert_eq!(refused("/", &[own, ("origin", origin)]), None, "{origin}");
    }
    for origin in [
        "null",
        "http://127.0.0.1:3000",
        "http://localhost:6420",
        "https://evil.example.com",
        "https://console.example.org.evil.example.com",
        "file://127.0.0.1:6420",
    ] {
        assert_eq!(
            refused("/", &[own, ("origin", origin)]),
            Some(403),
            "{origin}"
        );
    }
    let usual = [
        ("host", "jobs.example.org"),
        ("origin", "https://jobs.example.org:443"),
    ];
    assert_eq!(refused("/", &usual), None);
}

#[test]
fn methods_take_the_content_types_of_grpc_and_no_other() {
    for content in CONTENT_TYPES {
        assert_eq!(refused(METHOD, &[("content-type", content)]), None);
        let spelled = format!("{}; charset=utf-8", content.to_uppercase());
        assert_eq!(refused(METHOD, &[("content-type", &spelled)]), None);
    }
    for content in [
        "text/plain",
        "application/json",
        "application/proto",
        "application/connect+proto",
        "application/grpc+json",
        "application/grpcfoo",
        "application/x-www-form-urlencoded",
        "",
    ] {
        assert_eq!(
            refused(METHOD, &[("content-type", content)]),
            Some(415),
            "{content}"
        );
    }
    assert_eq!(refused(METHOD, &[]), Some(415));
    let twice = [
        ("content-type", "application/grpc"),
        ("content-type", "text/plain"),
    ];
    assert_eq!(refused(METHOD, &twice), Some(415));
    assert_eq!(refused("/assets/app.js", &[]), None);
}

#[test]
fn calls_are_refused_in_the_way_of_grpc() {
    let mut request = Request::builder()
        .uri(METHOD)
        .header("host", "evil.example.com")
        .header("content-type", "application/grpc-web+proto")
        .body(Body::empty())
        .unwrap();
    let answer = check(&hosts(), &mut request).unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.headers()["content-type"],
        "application/grpc-web+proto"
    );
    assert_eq!(answer.headers()["grpc-status"], "7");
    let status = Status::from_header_map(answer.headers()).unwrap();
    assert!(status.message().contains("`hosts`"), "{status:?}");
}

/// The answer to a request of a content type that is not let in, whose body comes from this stream.
fn answer(
    body: impl Stream<Item = Bytes> + Send + 'static,
) -> impl Future<Output = Response<Body>> + Unpin {
    let inner =
        service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let body = StreamBody::new(body.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))));
    let request = Request::builder()
        .method("POST")
        .uri(METHOD)
        .header("host", "localhost")
        .header("content-type", "text/plain")
        .body(Body::new(body))
        .unwrap();
    let answer = GateLayer::new(&[], &[]).layer(inner).call(request);
    Box::pin(async move { answer.await.unwrap() })
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_answered_once_it_has_ended() {
    let (mut sender, body) = mpsc::channel(1);
    let mut answer = answer(body);
    sender.try_send(Bytes::from_static(b"one")).unwrap();
    assert!((&mut answer).now_or_never().is_none());
    drop(sender);
    let began = Instant::now();
    assert_eq!(answer.await.status(), 415);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_that_is_long_or_does_not_end_is_answered_too() {
    let began = Instant::now();
    assert_eq!(answer(stream::pending()).await.status(), 415);
    assert_eq!(began.elapsed(), READ_ON.1);
    let began = Instant::now();
    let endless = stream::repeat(Bytes::from_static(&[0; 4096]));
    assert_eq!(answer(endless).await.status(), 415);
    assert_eq!(began.elapsed(), Duration::ZERO);
}
