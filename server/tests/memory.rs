//! What a request costs the server in memory, measured: in a program of its own, whose every
//! allocation is counted.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

use std::{collections::BTreeSet, io::Write, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use headway_runtime::tasks;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use peak_alloc::PeakAlloc;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

#[allow(dead_code, reason = "shared with the API's tests")]
#[path = "api/harness.rs"]
mod harness;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes of each request.
const REQUEST: usize = 256 * 1024;
/// What a request may take for each of its bytes,
const COST_PER_BYTE: usize = 20;
/// and whatever its size; with what a call takes otherwise.
const COST: usize = 12 * 1024 * 1024;

/// Numbers of the fields that lead to a field of many entries, and whether its entries are
/// messages.
type Place = Vec<u32>;

/// Every field of many entries below a message, each once.
fn places(
    message: &MessageDescriptor,
    above: &Place,
    seen: &mut BTreeSet<String>,
    found: &mut Vec<Place>,
) {
    for field in message.fields() {
        let here: Place = above.iter().copied().chain([field.number()]).collect();
        if (field.is_list() || field.is_map()) && !is_number(&field) {
            found.push(here.clone());
        }
        if let Kind::Message(inner) = field.kind()
            && seen.insert(inner.full_name().to_owned())
        {
            places(&inner, &here, seen, found);
        }
    }
}

fn is_number(field: &FieldDescriptor) -> bool {
    !matches!(field.kind(), Kind::Message(_) | Kind::String | Kind::Bytes)
}

fn varint(mut value: usize, bytes: &mut Vec<u8>) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A message with as many empty entries at a place as fit.
fn filled(place: &Place, size: usize) -> Vec<u8> {
    let (last, above) = place.split_last().unwrap();
    let mut entry = Vec::new();
    varint((*last as usize) << 3 | 2, &mut entry);
    entry.push(0);
    let mut message = entry.repeat(size / entry.len());
    for number in above.iter().rev() {
        let mut outer = Vec::new();
        varint((*number as usize) << 3 | 2, &mut outer);
        varint(message.len(), &mut outer);
        outer.append(&mut message);
        message = outer;
    }
    message
}

fn framed(compressed: bool, message: &[u8]) -> Bytes {
    let mut frame = vec![u8::from(compressed)];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(message);
    frame.into()
}

/// The status of a call, and what memory grew by at most while it was answered.
async fn call(
    send: &mut SendRequest<Full<Bytes>>,
    address: std::net::SocketAddr,
    path: &str,
    encoding: &str,
    frame: Bytes,
) -> (String, usize) {
    let request = http::Request::post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("grpc-encoding", encoding)
        // A watch that begins well need not end.
        .header("grpc-timeout", "5S")
        .body(Full::new(frame))
        .unwrap();
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    send.ready().await.unwrap();
    let answer = send.send_request(request).await.unwrap();
    let status = answer.headers().get("grpc-status").cloned();
    let status = match status {
        Some(status) => status.to_str().unwrap().to_owned(),
        None if path.contains("/Watch") => "0".to_owned(),
        None => {
            let ended = answer.into_body().collect().await.unwrap();
            let status = ended
                .trailers()
                .and_then(|trailers| trailers.get("grpc-status"));
            status.unwrap().to_str().unwrap().to_owned()
        }
    };
    (status, MEMORY.peak_usage().saturating_sub(before))
}

#[tokio::test]
async fn no_request_costs_more_than_twenty_times_its_size() {
    let harness = harness::Harness::start().await;
    let stream = tokio::net::TcpStream::connect(harness.address)
        .await
        .unwrap();
    let (mut send, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tasks::spawn(connection);
    let pool = DescriptorPool::decode(headway::FILE_DESCRIPTOR_SET).unwrap();
    let mut seen = BTreeSet::new();
    let mut tried = 0;
    for service in pool.services() {
        for method in service.methods() {
            let mut found = Vec::new();
            places(&method.input(), &Place::new(), &mut seen, &mut found);
            let path = format!("/{}/{}", service.full_name(), method.name());
            for place in found {
                let message = filled(&place, REQUEST);
                let most = COST + COST_PER_BYTE * message.len();
                let frame = framed(false, &message);
                drop(message);
                let (_, took) = call(&mut send, harness.address, &path, "identity", frame).await;
                assert!(
                    took <= most,
                    "{path} took {took} bytes with many of {place:?}"
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 10, "{tried} requests were tried");

    // Two million empty entries in four thousand bytes.
    let message = filled(&vec![2], 4_000_000);
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&message).unwrap();
    let bomb = framed(true, &bomb.finish().unwrap());
    drop(message);
    assert!(bomb.len() < 5000);
    let path = "/headway.v1.JobService/BatchCreateJobs";
    let (status, took) = call(&mut send, harness.address, path, "gzip", bomb).await;
    assert_eq!(status, "8");
    assert!(took < 16 * 1024 * 1024, "{took} bytes");
    // One that is larger than it may be once it is decompressed.
    let mut large = GzEncoder::new(Vec::new(), Compression::fast());
    large.write_all(&vec![0; 64 * 1024 * 1024]).unwrap();
    let large = framed(true, &large.finish().unwrap());
    let (status, took) = call(&mut send, harness.address, path, "gzip", large).await;
    assert_eq!(status, "3");
    assert!(took < 16 * 1024 * 1024, "{took} bytes");
    drop(send);
    tokio::time::timeout(Duration::from_secs(20), harness.stop())
        .await
        .unwrap();
}
