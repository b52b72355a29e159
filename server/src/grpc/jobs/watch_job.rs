//! WatchJob: the states of one job. A state goes to all who watch the job as the same bytes, so it
//! is converted and encoded once, and the method is mounted by hand beside the others, whose codec
//! encodes each message for itself.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes};
use futures::StreamExt;
use headway::v1;
use headway_domain::JobUid;
use headway_store::JobView;
use prost::Message;
use tonic::{
    Request, Response, Status,
    body::Body,
    codec::{BufferSettings, Codec, CompressionEncoding, EncodeBuf, Encoder},
    codegen::{BoxFuture, Service, http},
    server::{Grpc, NamedService, ServerStreamingService},
};
use tonic_prost::{ProstCodec, ProstDecoder};

use super::view;
use crate::{
    MAX_REQUEST_BYTES,
    grpc::{
        api::{Answers, Api},
        request,
        status::ApiError,
        tokens::Shown,
        violations::Violations,
    },
    watch::{Pace, Update, follow},
};

/// The path of the method.
const PATH: &str = "/headway.v1.JobService/WatchJob";

impl Api {
    /// WatchJob, as encoded messages.
    pub(crate) async fn watch_job(
        &self,
        request: v1::WatchJobRequest,
    ) -> Result<Answers<Bytes>, ApiError> {
        let mut violations = Violations::default();
        let name = violations.take(request::job_name("name", &request.name));
        let interval = violations.take(request::watch_interval(request.min_interval));
        let bookmark = violations.take(request::bookmark_interval(request.bookmark_interval));
        let shown = violations.take(Shown::read(&request.resume_token));
        let (name, interval, bookmark, shown) =
            violations.values((name, interval, bookmark, shown))?;
        if self.stopping.is_cancelled() {
            return Err(ApiError::Stopping);
        }
        let mut view = self.store().job(&name).await?;
        // Watchers are not shown the body, so it need not stay in memory.
        view.body = None;
        let (uid, present) = (view.job.meta.uid, view.job.revision);
        let shown = shown.filter(|shown| shown.uid == uid && shown.revision <= present);
        let pace = Pace {
            interval,
            bookmark,
            resume: shown.map(|shown| shown.revision),
        };
        let watched = self.hub.watch(Arc::new(view.into()))?;
        let updates = follow(watched, pace, self.stopping.clone());
        Ok(Box::pin(updates.map(move |update| {
            Ok(match update? {
                Update::State(state) => {
                    state.encoded(|view| encode(uid, Some(view), view.job.revision))
                }
                Update::Bookmark(revision) => encode(uid, None, revision),
            })
        })))
    }
}

fn encode(uid: JobUid, view: Option<&JobView>, revision: i64) -> Bytes {
    let message = v1::WatchJobResponse {
        job: view.map(view::brief),
        resume_token: Shown { uid, revision }.token(),
    };
    message.encode_to_vec().into()
}

/// The service, with WatchJob in front of all other methods.
#[derive(Debug, Clone)]
pub(crate) struct WatchJob<S> {
    api: Api,
    others: S,
}

impl<S> WatchJob<S> {
    /// WatchJob of this API, and these other methods of its service.
    pub(crate) fn new(api: Api, others: S) -> Self {
        Self { api, others }
    }
}

impl<S: NamedService> NamedService for WatchJob<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for WatchJob<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.others.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != PATH {
            return Box::pin(self.others.call(request));
        }
        let method = Method(self.api.clone());
        Box::pin(async move {
            let mut grpc = Grpc::new(Encoded)
                .max_decoding_message_size(MAX_REQUEST_BYTES)
                // Not sent compressed: it would be done for each watcher again.
                .accept_compressed(CompressionEncoding::Gzip);
            Ok(grpc.server_streaming(method, request).await)
        })
    }
}

struct Method(Api);

impl ServerStreamingService<v1::WatchJobRequest> for Method {
    type Response = Bytes;
    type ResponseStream = Answers<Bytes>;
    type Future = BoxFuture<Response<Answers<Bytes>>, Status>;

    fn call(&mut self, request: Request<v1::WatchJobRequest>) -> Self::Future {
        let api = self.0.clone();
        Box::pin(async move { Ok(Response::new(api.watch_job(request.into_inner()).await?)) })
    }
}

/// Requests are decoded, answers are bytes already.
struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = v1::WatchJobRequest;
    type Encoder = AsItIs;
    type Decoder = ProstDecoder<v1::WatchJobRequest>;

    fn encoder(&mut self) -> AsItIs {
        AsItIs
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<v1::WatchJobResponse, v1::WatchJobRequest>::default().decoder()
    }
}

struct AsItIs;

/// Bytes of a stream's buffer at first: a message has some hundred.
const BUFFER: usize = 1024;
/// Bytes at which it is sent without looking for more.
const YIELD: usize = 8 * 1024;

impl Encoder for AsItIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER, YIELD)
    }
}
