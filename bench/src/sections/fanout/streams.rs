//! Many streams over few connections: opened, read, and timed from the change to its receipt.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::SystemTime,
};

use anyhow::Context;
use bytes::{Buf, BufMut, Bytes};
use futures::{StreamExt, stream};
use headway::v1::WatchJobRequest;
use prost::Message;
use tokio::task::JoinSet;
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};

/// The method that is measured.
pub(crate) const PATH: &str = "/headway.v1.JobService/WatchJob";
/// Streams that are opened at once.
const OPENING: usize = 64;
/// The width of a bucket of times, in microseconds, and how many there are: 10 s in all.
const BUCKET_US: u64 = 100;
const BUCKETS: usize = 100_000;

/// What readers measured: shared by all streams of a kind.
pub(crate) struct Measured {
    on: AtomicBool,
    deliveries: AtomicU64,
    buckets: Vec<AtomicU32>,
}

impl Measured {
    /// Nothing yet, and nothing counts before [`Self::begin`].
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            on: AtomicBool::new(false),
            deliveries: AtomicU64::new(0),
            buckets: (0..BUCKETS).map(|_| AtomicU32::new(0)).collect(),
        })
    }

    /// Counts from now on, from zero.
    pub(crate) fn begin(&self) {
        self.deliveries.store(0, Ordering::Relaxed);
        for bucket in &self.buckets {
            bucket.store(0, Ordering::Relaxed);
        }
        self.on.store(true, Ordering::Relaxed);
    }

    /// Stops counting; how many messages there were.
    pub(crate) fn end(&self) -> u64 {
        self.on.store(false, Ordering::Relaxed);
        self.deliveries.load(Ordering::Relaxed)
    }

    /// A message came whose change was committed at this time.
    pub(crate) fn note(&self, message: &[u8]) {
        if !self.on.load(Ordering::Relaxed) {
            return;
        }
        let now = SystemTime::now();
        let Some(committed) = committed(message) else {
            return;
        };
        self.deliveries.fetch_add(1, Ordering::Relaxed);
        let late = now.duration_since(committed).unwrap_or_default();
        let bucket = u64::try_from(late.as_micros()).unwrap_or(u64::MAX) / BUCKET_US;
        let bucket = usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The nearest-rank percentile in milliseconds, to a tenth.
    pub(crate) fn percentile_ms(&self, percent: u64) -> f64 {
        let counts = || {
            self.buckets
                .iter()
                .map(|bucket| u64::from(bucket.load(Ordering::Relaxed)))
        };
        let rank = (counts().sum::<u64>() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let at = counts().position(|count| {
            seen += count;
            seen >= rank
        });
        at.map_or(0.0, |at| (at as f64 + 1.0) * BUCKET_US as f64 / 1000.0)
    }
}

/// What of a message tells when its state was committed; all else is skipped.
#[derive(Clone, PartialEq, prost::Message)]
struct Told {
    #[prost(message, optional, tag = "1")]
    job: Option<ToldJob>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ToldJob {
    #[prost(message, optional, tag = "10")]
    update_time: Option<prost_types::Timestamp>,
}

fn committed(message: &[u8]) -> Option<SystemTime> {
    let told = Told::decode(message).ok()?;
    SystemTime::try_from(told.job?.update_time?).ok()
}

/// A watch of this job, or source, that is told of every change.
pub(crate) fn request(name: &str) -> Bytes {
    let request = WatchJobRequest {
        name: name.to_owned(),
        min_interval: Some(prost_types::Duration::default()),
        ..WatchJobRequest::default()
    };
    request.encode_to_vec().into()
}

/// Opens this many streams over this many connections, names in turn.
pub(crate) async fn open(
    address: &str,
    connections: usize,
    count: usize,
    names: &[String],
) -> anyhow::Result<Vec<Streaming<Bytes>>> {
    let mut channels = Vec::with_capacity(connections);
    for _ in 0..connections {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        channels.push(endpoint.connect().await?);
    }
    let opened = stream::iter((0..count).map(|number| {
        let channel = channels.get(number % channels.len().max(1)).cloned();
        let name = names.get(number % names.len().max(1)).cloned();
        async move {
            let channel = channel.context("no connection")?;
            follow(channel, request(&name.context("no name")?)).await
        }
    }));
    let opened: Vec<_> = opened.buffer_unordered(OPENING).collect().await;
    opened.into_iter().collect()
}

async fn follow(channel: Channel, request: Bytes) -> anyhow::Result<Streaming<Bytes>> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await?;
    let path = PathAndQuery::from_static(PATH);
    let answer = grpc
        .server_streaming(Request::new(request), path, Raw)
        .await?;
    Ok(answer.into_inner())
}

/// Reads every stream until the tasks are dropped. A stream that ends is an error.
pub(crate) fn read_all(
    streams: Vec<Streaming<Bytes>>,
    measured: &Arc<Measured>,
) -> JoinSet<anyhow::Result<()>> {
    let mut readers = JoinSet::new();
    for mut stream in streams {
        let measured = Arc::clone(measured);
        readers.spawn(async move {
            while let Some(message) = stream.message().await? {
                measured.note(&message);
            }
            anyhow::bail!("a stream has ended")
        });
    }
    readers
}

/// Messages as bytes: the reader's own decoding is no part of what is measured.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}
