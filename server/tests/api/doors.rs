//! What one client can take of a server, over real sockets.

use std::{net::SocketAddr, time::Duration};

use headway::v1::{self, job_service_client::JobServiceClient};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_stream::StreamExt;
use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::harness::{Harness, PATIENCE, name, refused};

/// Shorter than anything that a test waits for, and long enough for a busy machine to answer in.
const SHORT: Duration = Duration::from_millis(300);

/// A connection from another address of this machine.
async fn connect_from(harness: &Harness, address: [u8; 4]) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((address, 0))).unwrap();
    socket.connect(harness.address).await.unwrap()
}

/// What comes until the server closes the connection.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut read)).await;
    // Closed with or without what we sent being read.
    let _ = ended.expect("the connection stays open");
    read
}

fn get(harness: &Harness) -> impl Future<Output = Result<v1::Job, Status>> + use<> {
    let mut client = harness.client.clone();
    async move {
        let request = v1::GetJobRequest { name: name("one") };
        Ok(client.get_job(request).await?.into_inner())
    }
}

#[tokio::test]
async fn silent_connections_end() {
    let harness = Harness::start_with(|mut parts| {
        parts.limits.first_byte = SHORT;
        parts.limits.idle_connection = SHORT;
        parts
    })
    .await;
    let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // A block of headers that does not end.
    let headers = b"\0\0\x01\x01\0\0\0\0\x01\x82";
    for said in [
        b"".to_vec(),
        b"GET / HTTP/1.1\r\nhost: local".to_vec(),
        b"PRI * HTTP/2".to_vec(),
        settings.to_vec(),
        [settings.as_slice(), headers].concat(),
    ] {
        let mut stream = TcpStream::connect(harness.address).await.unwrap();
        stream.write_all(&said).await.unwrap();
        until_closed(&mut stream).await;
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_not_kept_for_the_idle_time() {
    let harness = Harness::start_with(|mut parts| {
        parts.limits.first_byte = SHORT;
        parts.limits.idle_connection = 100 * PATIENCE;
        parts
    })
    .await;
    let mut stream = TcpStream::connect(harness.address).await.unwrap();
    until_closed(&mut stream).await;
    harness.stop().await;
}

#[tokio::test]
async fn an_open_watch_keeps_its_connection() {
    let harness = Harness::start_with(|mut parts| {
        parts.limits.first_byte = SHORT;
        parts.limits.idle_connection = SHORT;
        parts
    })
    .await;
    let job = harness.create("one").await;
    let request = v1::WatchJobRequest {
        name: name("one"),
        ..v1::WatchJobRequest::default()
    };
    let watch = harness.client.clone().watch_job(request).await.unwrap();
    let mut watch = watch.into_inner();
    watch.next().await.unwrap().unwrap();
    tokio::time::sleep(4 * SHORT).await;
    harness.finish(&job).await;
    while let Some(message) = timeout(PATIENCE, watch.next()).await.unwrap() {
        message.unwrap();
    }
    harness.stop().await;
}

/// The head of a call by grpc-web with a body of 100 bytes.
const CALL: &str = "POST /headway.v1.JobService/GetJob HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
    content-type: application/grpc-web+proto\r\ncontent-length: 100\r\n\r\n";

#[tokio::test]
async fn a_call_whose_body_stops_is_refused() {
    let harness = Harness::start_with(|mut parts| {
        parts.limits.body_pause = SHORT;
        parts
    })
    .await;
    let mut stream = TcpStream::connect(harness.address).await.unwrap();
    stream.write_all(CALL.as_bytes()).await.unwrap();
    stream.write_all(&[0, 0, 0]).await.unwrap();
    let answer = until_closed(&mut stream).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("grpc-status: 4\r\n"), "{answer}");
    assert!(
        answer.contains("send%20it%20without%20a%20pause"),
        "{answer}"
    );
    harness.stop().await;
}

#[tokio::test]
async fn one_client_cannot_take_all_calls() {
    let harness = Harness::start_with(|mut parts| {
        parts.limits.calls = 8;
        parts.limits.client_share = 50;
        parts.limits.body_pause = PATIENCE;
        parts
    })
    .await;
    harness.create("one").await;
    let mut hung = Vec::new();
    let refused_one = async {
        loop {
            let mut stream = connect_from(&harness, [127, 0, 0, 2]).await;
            stream.write_all(CALL.as_bytes()).await.unwrap();
            let mut answer = vec![0; 4096];
            match timeout(SHORT, stream.read(&mut answer)).await {
                Err(_) => hung.push(stream),
                Ok(read) => {
                    answer.truncate(read.unwrap());
                    break String::from_utf8_lossy(&answer).into_owned();
                }
            }
            assert!(hung.len() <= 4, "a client has more than its share");
        }
    };
    let answer = timeout(PATIENCE, refused_one).await.unwrap();
    assert!(answer.contains("grpc-status: 14\r\n"), "{answer}");
    assert!(answer.contains("client_share"), "{answer}");
    assert_eq!(hung.len(), 4);
    // Others are served.
    for _ in 0..3 {
        timeout(PATIENCE, get(&harness)).await.unwrap().unwrap();
    }
    drop(hung);
    harness.stop().await;
}

#[tokio::test]
async fn one_client_cannot_take_all_connections() {
    let harness = Harness::start_with(|mut parts| {
        parts.limits.connections = 6;
        parts.limits.client_share = 50;
        parts
    })
    .await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(connect_from(&harness, [127, 0, 0, 2]).await);
    }
    let mut fourth = connect_from(&harness, [127, 0, 0, 2]).await;
    assert_eq!(until_closed(&mut fourth).await, b"");
    harness.create("one").await;
    let other = harness.connect().await;
    let request = v1::GetJobRequest { name: name("one") };
    timeout(PATIENCE, other.clone().get_job(request))
        .await
        .unwrap()
        .unwrap();
    drop(open);
    harness.stop().await;
}

#[tokio::test]
async fn streams_of_health_are_counted() {
    let harness = Harness::start_with(|mut parts| {
        parts.limits.standard_calls = 2;
        parts
    })
    .await;
    let mut client = HealthClient::new(harness.channel.clone());
    let request = || HealthCheckRequest::default();
    let one = client.watch(request()).await.unwrap().into_inner();
    let two = client.watch(request()).await.unwrap().into_inner();
    refused(
        client.watch(request()).await,
        Code::Unavailable,
        "SERVER_OVERLOADED",
    );
    drop((one, two));
    let free = async {
        while client.check(request()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, free).await.unwrap();
    harness.stop().await;
}

#[tokio::test]
async fn a_call_finds_room_beside_all_the_watches_of_a_connection() {
    const STREAMS: usize = 1000;
    let harness = Harness::start().await;
    harness.create("one").await;
    let channel: Channel = harness.channel.clone();
    let watch = || {
        let mut client = JobServiceClient::new(channel.clone());
        async move {
            let request = v1::WatchJobRequest {
                name: name("one"),
                ..v1::WatchJobRequest::default()
            };
            client.watch_job(request).await
        }
    };
    let open = futures::future::join_all((0..STREAMS).map(|_| watch()));
    let open: Vec<_> = timeout(PATIENCE, open).await.unwrap();
    assert!(open.iter().all(Result::is_ok));
    refused(watch().await, Code::ResourceExhausted, "TOO_MANY_WATCHES");
    timeout(PATIENCE, get(&harness)).await.unwrap().unwrap();
    drop(open);
    harness.stop().await;
}

#[tokio::test]
async fn a_deadline_is_answered_with_details() {
    let harness = Harness::start_with(|mut parts| {
        parts.limits.body_pause = PATIENCE;
        parts
    })
    .await;
    let mut stream = TcpStream::connect(harness.address).await.unwrap();
    let call = CALL.replace("content-length", "grpc-timeout: 200m\r\ncontent-length");
    stream.write_all(call.as_bytes()).await.unwrap();
    let answer = until_closed(&mut stream).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("grpc-status: 4\r\n"), "{answer}");
    assert!(answer.contains("grpc-status-details-bin: "), "{answer}");
    harness.stop().await;
}
