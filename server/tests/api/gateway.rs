//! What browsers and load balancers see, by HTTP/1.1 and byte for byte.

use std::time::Duration;

use headway::v1;
use headway_runtime::tasks;
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{Harness, PATIENCE, name};

const ORIGIN: &str = "https://jobs.example.org";

async fn start() -> Harness {
    Harness::start_with(|mut parts| {
        parts.web_origins = vec![ORIGIN.parse().unwrap()];
        parts
    })
    .await
}

/// Sends a request of which the connection ends with the answer.
async fn send(harness: &Harness, head: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(harness.address).await.unwrap();
    let head = format!(
        "{head}host: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    stream
}

/// The whole answer; names of headers in small letters, as the server writes them.
async fn ask(harness: &Harness, head: &str, body: &[u8]) -> String {
    let mut stream = send(harness, head, body).await;
    let mut answer = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn frame(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

fn call(method: &str) -> String {
    format!(
        "POST /headway.v1.JobService/{method} HTTP/1.1\r\ncontent-type: application/grpc-web+proto\r\n\
         x-grpc-web: 1\r\norigin: {ORIGIN}\r\n"
    )
}

#[tokio::test]
async fn health_by_http() {
    let harness = start().await;
    let head = "GET /healthz HTTP/1.1\r\n";
    assert!(ask(&harness, head, b"").await.starts_with("HTTP/1.1 503 "));
    harness.database.set(true);
    let serving = async {
        while !ask(&harness, head, b"").await.starts_with("HTTP/1.1 200 ") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, serving).await.unwrap();
    harness.stop().await;
}

#[tokio::test]
async fn only_listed_origins_may_call() {
    let harness = start().await;
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /headway.v1.JobService/GetJob HTTP/1.1\r\norigin: {origin}\r\n\
             access-control-request-method: POST\r\naccess-control-request-headers: content-type,x-grpc-web\r\n"
        )
    };
    let allowed = ask(&harness, &preflight(ORIGIN), b"").await;
    assert!(allowed.starts_with("HTTP/1.1 200 "), "{allowed}");
    assert!(
        allowed.contains(&format!("access-control-allow-origin: {ORIGIN}\r\n")),
        "{allowed}"
    );
    let other = ask(&harness, &preflight("https://evil.example.org"), b"").await;
    assert!(other.starts_with("HTTP/1.1 403 "), "{other}");
    assert!(!other.contains("access-control-allow-origin"), "{other}");
    harness.stop().await;
}

#[tokio::test]
async fn a_call_by_grpc_web() {
    let harness = start().await;
    harness.create("one").await;
    let get = |id: &str| frame(&v1::GetJobRequest { name: name(id) });
    let answer = ask(&harness, &call("GetJob"), &get("one")).await;
    assert!(
        answer.contains("content-type: application/grpc-web+proto"),
        "{answer}"
    );
    assert!(
        answer.contains(&name("one")) && answer.contains("grpc-status:0"),
        "{answer}"
    );
    let missing = ask(&harness, &call("GetJob"), &get("two")).await;
    let (head, _) = missing.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("grpc-status: 5\r\n"), "{missing}");
    assert!(head.contains("grpc-status-details-bin: "), "{missing}");
    assert!(
        head.contains(
            "access-control-expose-headers: grpc-status,grpc-message,grpc-status-details-bin"
        ),
        "{missing}"
    );
    let unknown = ask(&harness, &call("Nothing"), &get("one")).await;
    assert!(unknown.contains("grpc-status: 12\r\n"), "{unknown}");
    assert!(
        unknown.contains("content-type: application/grpc-web+proto"),
        "{unknown}"
    );
    harness.stop().await;
}

#[tokio::test]
async fn a_watch_by_grpc_web_and_its_end() {
    let harness = start().await;
    let job = harness.create("one").await;
    let request = frame(&v1::WatchJobRequest {
        name: name("one"),
        ..v1::WatchJobRequest::default()
    });
    let mut stream = send(&harness, &call("WatchJob"), &request).await;
    let mut read = Vec::new();
    let snapshot = async {
        while !String::from_utf8_lossy(&read).contains(&job.uid) {
            assert!(
                stream.read_buf(&mut read).await.unwrap() > 0,
                "it ended early"
            );
        }
    };
    timeout(PATIENCE, snapshot).await.unwrap();
    harness.finish(&job).await;
    timeout(PATIENCE, stream.read_to_end(&mut read))
        .await
        .unwrap()
        .unwrap();
    assert!(String::from_utf8_lossy(&read).contains("grpc-status:0"));
    harness.stop().await;
}

/// Sends a request by HTTP/2 through a client that adds nothing, as a proxy does; the status and
/// the body of the answer.
async fn by_http2(harness: &Harness, request: http::Request<Vec<u8>>) -> (u16, String) {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let stream = TcpStream::connect(harness.address).await.unwrap();
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tasks::spawn(connection);
    let request = request.map(|body| Full::new(bytes::Bytes::from(body)));
    let answer = timeout(PATIENCE, send.send_request(request))
        .await
        .unwrap()
        .unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn a_call_of_another_content_type_does_nothing() {
    let harness = start().await;
    let job = frame(&crate::harness::request("one", crate::harness::task()));
    let post = |content: &str| {
        http::Request::post(format!(
            "http://{}/headway.v1.JobService/CreateJob",
            harness.address
        ))
        .header("content-type", content)
        .body(job.clone())
        .unwrap()
    };
    for (content, shape) in [
        ("text/plain", "this path is a method"),
        ("application/json", "{\"code\":\"unimplemented\""),
        ("application/connect+proto", "{\"code\":\"unimplemented\""),
    ] {
        let (status, body) = by_http2(&harness, post(content)).await;
        assert_eq!(status, 415, "{body}");
        assert!(
            body.starts_with(shape) && body.contains("application/grpc"),
            "{body}"
        );
        let head = format!(
            "POST /headway.v1.JobService/CreateJob HTTP/1.1\r\ncontent-type: {content}\r\n"
        );
        let answer = ask(&harness, &head, &job).await;
        assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    }
    let missing = v1::GetJobRequest { name: name("one") };
    let missing = harness.client.clone().get_job(missing).await;
    assert_eq!(missing.unwrap_err().code(), tonic::Code::NotFound);
    let (status, _) = by_http2(&harness, post("application/grpc")).await;
    assert_eq!(status, 200);
    harness.create("one").await;
    harness.stop().await;
}

#[tokio::test]
async fn a_request_of_a_foreign_name_or_page_is_refused() {
    let harness = Harness::start_with(|mut parts| {
        parts.hosts = vec!["jobs.example.org".to_owned()];
        parts
    })
    .await;
    harness.create("one").await;
    let get = frame(&v1::GetJobRequest { name: name("one") });
    let call = |host: &str, origin: &str| {
        let request = http::Request::post("/headway.v1.JobService/GetJob").header("host", host);
        let request = request.header("content-type", "application/grpc-web+proto");
        request.header("origin", origin).body(get.clone()).unwrap()
    };
    let heads = |request: http::Request<Vec<u8>>| {
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri().path());
        for (name, value) in request.headers() {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        head
    };
    for (host, origin, fine) in [
        ("jobs.example.org", "https://jobs.example.org", true),
        ("rebound.example.com", "http://rebound.example.com", false),
        ("jobs.example.org", "https://evil.example.com", false),
    ] {
        let mut stream = TcpStream::connect(harness.address).await.unwrap();
        let head = heads(call(host, origin));
        let head = format!(
            "{head}connection: close\r\ncontent-length: {}\r\n\r\n",
            get.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&get).await.unwrap();
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        read.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(answer.contains(&name("one")), fine, "{answer}");
        assert_eq!(answer.contains("grpc-status: 7\r\n"), !fine, "{answer}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn the_dashboard_beside_the_services() {
    let harness = start().await;
    for path in ["/", "/partitions/acme/jobs/one"] {
        let page = ask(&harness, &format!("GET {path} HTTP/1.1\r\n"), b"").await;
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
        assert!(
            page.contains("content-security-policy: default-src 'none'; script-src 'self'; "),
            "{page}"
        );
        assert!(
            page.contains("<title>Headway") && page.contains("</html>"),
            "{page}"
        );
    }
    let head = ask(&harness, "HEAD / HTTP/1.1\r\n", b"").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        head.contains("content-length: ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let missing = ask(&harness, "GET /assets/none.js HTTP/1.1\r\n", b"").await;
    assert!(missing.starts_with("HTTP/1.1 404 "), "{missing}");
    let posted = ask(&harness, "POST / HTTP/1.1\r\n", b"x").await;
    assert!(posted.starts_with("HTTP/1.1 405 "), "{posted}");
    // A service that is not there is refused as gRPC refuses it.
    for content in ["application/grpc", "application/grpc-web+proto"] {
        let head =
            format!("POST /headway.v1.Nothing/GetJob HTTP/1.1\r\ncontent-type: {content}\r\n");
        let unknown = ask(&harness, &head, &frame(&v1::GetJobRequest::default())).await;
        assert!(
            unknown.starts_with("HTTP/1.1 200 ") && unknown.contains("grpc-status: 12\r\n"),
            "{unknown}"
        );
        assert!(
            unknown.contains(&format!("content-type: {content}\r\n")),
            "{unknown}"
        );
    }
    harness.stop().await;
}
