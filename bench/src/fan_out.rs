//! A bare server that sends one message to many streams: what the gRPC library alone can do,
//! without Headway.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use headway::v1::{WatchJobRequest, WatchJobResponse};
use headway_runtime::tasks;
use prost::Message;
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::{StreamExt, wrappers::WatchStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::{Grpc, NamedService, ServerStreamingService},
    transport::{Server, server::TcpIncoming},
};
use tonic_prost::ProstCodec;

/// Streams of one connection at once.
const STREAMS: u32 = 1000;

/// What to send.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The message, encoded, in hexadecimal digits.
    #[arg(long)]
    message: String,
    /// How many sources there are; a stream follows the one that its request names by a number.
    #[arg(long)]
    sources: usize,
    /// Messages of each source in a second.
    #[arg(long)]
    rate: f64,
}

type Sources = Arc<[watch::Sender<WatchJobResponse>]>;

/// Serves until `shutdown`.
pub(crate) async fn run(args: Args, shutdown: CancellationToken) -> anyhow::Result<()> {
    let message = decode(&args.message)?;
    let sources = (0..args.sources).map(|_| watch::Sender::new(message.clone()));
    let sources: Sources = sources.collect();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ready {}", listener.local_addr()?);
    tasks::spawn(tick(Arc::clone(&sources), args.rate));
    let server = Server::builder()
        .max_concurrent_streams(STREAMS)
        .add_service(FanOut { sources })
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            std::future::pending(),
        );
    // Open streams have no end: there is nothing to wait for.
    tokio::select! {
        ended = server => Ok(ended?),
        () = shutdown.cancelled() => Ok(()),
    }
}

/// The message that hexadecimal digits stand for.
fn decode(digits: &str) -> anyhow::Result<WatchJobResponse> {
    let pairs = (0..digits.len()).step_by(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect();
    let bytes = bytes.context("the message is not hexadecimal")?;
    Ok(WatchJobResponse::decode(bytes.as_slice())?)
}

/// Changes every source in turn, evenly over time.
async fn tick(sources: Sources, rate: f64) {
    let pace = Duration::from_secs_f64(1.0 / (rate * sources.len() as f64));
    let mut ticks = tokio::time::interval(pace);
    for source in sources.iter().cycle() {
        ticks.tick().await;
        source.send_modify(|message| {
            if let Some(job) = &mut message.job {
                job.revision += 1;
                job.update_time = Some(SystemTime::now().into());
            }
        });
    }
}

/// The service, mounted by hand.
#[derive(Clone)]
struct FanOut {
    sources: Sources,
}

impl NamedService for FanOut {
    const NAME: &'static str = "headway.v1.JobService";
}

impl Service<http::Request<Body>> for FanOut {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let follow = Follow(Arc::clone(&self.sources));
        let codec = ProstCodec::<WatchJobResponse, WatchJobRequest>::default();
        Box::pin(async move { Ok(Grpc::new(codec).server_streaming(follow, request).await) })
    }
}

struct Follow(Sources);

impl ServerStreamingService<WatchJobRequest> for Follow {
    type Response = WatchJobResponse;
    type ResponseStream = std::pin::Pin<
        Box<dyn tokio_stream::Stream<Item = Result<WatchJobResponse, Status>> + Send>,
    >;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    #[expect(
        clippy::disallowed_methods,
        reason = "a server of its own, which measures the library without ours"
    )]
    fn call(&mut self, request: Request<WatchJobRequest>) -> Self::Future {
        let number = request.get_ref().name.parse().unwrap_or(0);
        let source: Option<&watch::Sender<_>> = self.0.get::<usize>(number);
        let stream = source.map(|source| WatchStream::new(source.subscribe()).map(Ok));
        let answer = stream
            .map(|stream| Response::new(Box::pin(stream) as Self::ResponseStream))
            .ok_or_else(|| Status::not_found("no such source"));
        Box::pin(std::future::ready(answer))
    }
}
