//! Reads the one message of a call before it is decoded. It reads the whole message, within a time,
//! within a bound of bytes that also holds after decompression, and only if decoding does not cost
//! too much memory. It does not read what comes behind the message.

mod json;
mod shapes;

use std::{
    io::Read,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use tokio::sync::Semaphore;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::NamedService,
};

use self::shapes::{Shapes, Unfit};
use crate::{
    MAX_REQUEST_BYTES,
    grpc::status::{ApiError, Refusal},
};

/// A message's head: whether it is compressed, and its length.
const HEAD: usize = 5;
/// The most bytes of memory that decoding may take for each byte of the request,
const COST_PER_BYTE: usize = 20;
/// and the least bound, whatever the size.
const COST: usize = 10 * 1024 * 1024;
/// The most bytes of memory that all messages of the process together take while they are decoded
/// and answered.
const DECODING: usize = 256 * 1024 * 1024;
/// The bytes of one permit.
const UNIT: usize = 1024;
const ENCODING: &str = "grpc-encoding";

/// The inner service, and the bounds of its messages.
#[derive(Debug, Clone)]
pub(crate) struct Intake<S> {
    inner: S,
    gauge: Gauge,
}

/// What messages cost, and how much room there is. All calls share it.
#[derive(Debug, Clone)]
pub(crate) struct Gauge {
    shapes: Arc<Shapes>,
    decoding: Arc<Semaphore>,
    /// How long a request may send nothing before it is complete.
    patience: Duration,
}

impl Gauge {
    /// A gauge of the contract's requests, which may pause for this long.
    ///
    /// # Errors
    /// If the descriptors in the program cannot be read.
    pub(crate) fn new(patience: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            shapes: Arc::new(Shapes::of_contract()?),
            decoding: Arc::new(Semaphore::new(DECODING / UNIT)),
            patience,
        })
    }
}

impl<S> Intake<S> {
    /// This service, whose messages are measured with this gauge.
    pub(crate) fn new(inner: S, gauge: Gauge) -> Self {
        Self { inner, gauge }
    }
}

impl<S: NamedService> NamedService for Intake<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Intake<S>
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
        let Some(shape) = self.gauge.shapes.request(request.uri().path()) else {
            return Box::pin(self.inner.call(request));
        };
        // Call the service that was polled ready; the clone takes its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let gauge = self.gauge.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let path = parts.uri.path().to_owned();
            let taken = match gauge.take(shape, &mut parts.headers, body).await {
                Ok(taken) => taken,
                Err(refused) => {
                    let error = match refused {
                        Refused::Transport(code, message) => ApiError::Transport(Refusal {
                            code,
                            path,
                            message: message.to_owned(),
                        }),
                        Refused::Error(error) => error,
                    };
                    return Ok(Status::from(error).into_http());
                }
            };
            let units = u32::try_from(taken.cost.div_ceil(UNIT)).unwrap_or(u32::MAX);
            // The semaphore is never closed.
            let _room = gauge.decoding.acquire_many(units).await.ok();
            let body = Body::new(Full::new(taken.message));
            inner.call(http::Request::from_parts(parts, body)).await
        })
    }
}

/// A message that may be decoded, with its head.
struct Taken {
    message: Bytes,
    cost: usize,
}

enum Refused {
    /// In the words of the gRPC library.
    Transport(Code, &'static str),
    Error(ApiError),
}

fn malformed(why: &'static str) -> Refused {
    Refused::Transport(Code::InvalidArgument, why)
}

fn too_large() -> Refused {
    Refused::Transport(Code::OutOfRange, "the message is too large")
}

impl Gauge {
    async fn take(
        &self,
        shape: usize,
        headers: &mut http::HeaderMap,
        body: Body,
    ) -> Result<Taken, Refused> {
        let gzip = match headers.get(ENCODING).map(http::HeaderValue::as_bytes) {
            None | Some(b"identity") => false,
            Some(b"gzip") => true,
            // The service refuses it by this header, and says what it takes.
            Some(_) => {
                let message = Bytes::new();
                return Ok(Taken { message, cost: 0 });
            }
        };
        let framed = self.read(body).await?;
        let wire = framed.len();
        let message = match framed.first() {
            Some(0) => framed,
            Some(1) if gzip => unzipped(framed.slice(HEAD..))?,
            Some(_) | None => return Err(malformed("the head of the message")),
        };
        headers.remove(ENCODING);
        let most = COST.max(wire.saturating_mul(COST_PER_BYTE));
        match self.shapes.cost(shape, &message[HEAD..], most) {
            Ok(cost) => Ok(Taken { message, cost }),
            Err(Unfit::Malformed) => Err(malformed("the message")),
            Err(Unfit::TooCostly) => Err(Refused::Error(ApiError::TooCostly(most))),
        }
    }

    /// The one message of a body, with its head.
    async fn read(&self, mut body: Body) -> Result<Bytes, Refused> {
        let mut read = BytesMut::new();
        loop {
            if read.len() >= HEAD {
                let length = (&read[1..HEAD]).get_u32() as usize;
                if length > MAX_REQUEST_BYTES {
                    return Err(too_large());
                }
                if read.len() > HEAD + length {
                    return Err(malformed("more than one message"));
                }
            }
            let frame = tokio::time::timeout(self.patience, body.frame()).await;
            let frame = frame.map_err(|_| Refused::Error(ApiError::SlowRequest(self.patience)))?;
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => read.extend_from_slice(&data),
                    // Trailers, which mean nothing here.
                    Err(_) => continue,
                },
                Some(Err(_)) => return Err(malformed("the body ended early")),
                None => break,
            }
        }
        match read.len().checked_sub(HEAD) {
            Some(length) if length == (&read[1..HEAD]).get_u32() as usize => Ok(read.freeze()),
            Some(_) | None => Err(malformed("no whole message")),
        }
    }
}

/// The same message without compression, with a new head.
fn unzipped(compressed: Bytes) -> Result<Bytes, Refused> {
    let mut message = vec![0; HEAD];
    let bound = u64::try_from(MAX_REQUEST_BYTES).unwrap_or(u64::MAX) + 1;
    let mut reader = GzDecoder::new(compressed.reader()).take(bound);
    reader
        .read_to_end(&mut message)
        .map_err(|_| malformed("the compression"))?;
    let length = message.len() - HEAD;
    if length > MAX_REQUEST_BYTES {
        return Err(too_large());
    }
    let length = u32::try_from(length).map_err(|_| too_large())?;
    (&mut message[1..HEAD]).put_u32(length);
    Ok(message.into())
}
