//! The client: a connection, and how a call is sent, with a deadline and retries where they are
//! harmless.

use std::{future::Future, sync::Arc};

use futures::{Stream, stream};
use headway::v1::{
    event_service_client::EventServiceClient, job_service_client::JobServiceClient,
    job_type_service_client::JobTypeServiceClient,
    partition_service_client::PartitionServiceClient, pipe_service_client::PipeServiceClient,
    schedule_service_client::ScheduleServiceClient,
};
use prost_types::FieldMask;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::{
    Code, Response, Status, Streaming,
    metadata::{MetadataMap, MetadataValue},
    transport::Channel,
};

use crate::{
    ClientConfig, Error,
    retry::{Repeat, backoff},
};

/// A client of one Headway server. Cheap to clone; clones share the connection.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) stubs: Stubs,
    config: Arc<ClientConfig>,
}

/// The generated client of each service, over one connection.
#[derive(Debug, Clone)]
pub(crate) struct Stubs {
    pub(crate) jobs: JobServiceClient<Channel>,
    pub(crate) schedules: ScheduleServiceClient<Channel>,
    pub(crate) job_types: JobTypeServiceClient<Channel>,
    pub(crate) partitions: PartitionServiceClient<Channel>,
    pub(crate) pipes: PipeServiceClient<Channel>,
    pub(crate) events: EventServiceClient<Channel>,
}

impl Stubs {
    fn new(channel: Channel, most: usize) -> Self {
        let of = || channel.clone();
        Self {
            jobs: JobServiceClient::new(of()).max_decoding_message_size(most),
            schedules: ScheduleServiceClient::new(of()).max_decoding_message_size(most),
            job_types: JobTypeServiceClient::new(of()).max_decoding_message_size(most),
            partitions: PartitionServiceClient::new(of()).max_decoding_message_size(most),
            pipes: PipeServiceClient::new(of()).max_decoding_message_size(most),
            events: EventServiceClient::new(of()).max_decoding_message_size(most),
        }
    }
}

impl Client {
    /// Connects to the server. A connection that is lost later is made again by itself.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an address that cannot be used, `UNAVAILABLE` if no connection
    /// could be made within [`ClientConfig::connect_timeout`].
    pub async fn connect(config: ClientConfig) -> Result<Self, Error> {
        let endpoint = config.endpoint()?;
        let channel = endpoint.connect().await.map_err(Error::connect)?;
        Ok(Self::over(channel, config))
    }

    /// A client that connects with its first call. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for an address that cannot be used.
    pub fn lazy(config: ClientConfig) -> Result<Self, Error> {
        let channel = config.endpoint()?.connect_lazy();
        Ok(Self::over(channel, config))
    }

    fn over(channel: Channel, config: ClientConfig) -> Self {
        Self {
            stubs: Stubs::new(channel, config.max_response_bytes),
            config: Arc::new(config),
        }
    }

    /// The configuration that the client was made with.
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// The deadline of a stream counts until its headers are here.
    pub(crate) async fn open<T>(
        &self,
        opening: impl Future<Output = Result<Response<Streaming<T>>, Status>>,
    ) -> Result<Streaming<T>, Error> {
        let limit = self.config.request_timeout;
        match timeout(limit, opening).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Error::from_status(status)),
            Err(_) => Err(Error::deadline(limit)),
        }
    }

    /// Sends one request until it is answered, the time is up, or trying again is of no use.
    pub(crate) async fn call<Req, Res, Send, Answer>(
        &self,
        repeat: Repeat,
        message: Req,
        send: Send,
    ) -> Result<Res, Error>
    where
        Req: Clone,
        Send: Fn(Stubs, tonic::Request<Req>) -> Answer,
        Answer: Future<Output = Result<Response<Res>, Status>>,
    {
        let limit = self.config.request_timeout;
        let deadline = Instant::now() + limit;
        let mut backoff = backoff(&self.config.retry);
        loop {
            let mut request = tonic::Request::new(message.clone());
            name_user(request.metadata_mut(), &self.config.user);
            // The server is told the deadline, so that it does not work for nobody.
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            let error = match timeout_at(deadline, send(self.stubs.clone(), request)).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => Error::from_status(status),
                Err(_) => return Err(Error::deadline(limit)),
            };
            if error.code() == Code::DeadlineExceeded || !repeat.allows(&error) {
                return Err(error);
            }
            if backoff.delays() + 1 >= self.config.retry.max_attempts {
                return Err(error);
            }
            let delay = backoff.next_after(error.retry_delay());
            if Instant::now() + delay >= deadline {
                return Err(error);
            }
            tracing::debug!(error = %error, delay = ?delay, "a call failed; trying again");
            sleep(delay).await;
        }
    }
}

/// The mask of these paths; none where there are none.
pub(crate) fn mask(paths: &[&str]) -> Option<FieldMask> {
    let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
    (!paths.is_empty()).then_some(FieldMask { paths })
}

/// Says who calls: as it is in ASCII, else as bytes. What the server does not take, it refuses with
/// a sentence.
fn name_user(metadata: &mut MetadataMap, user: &str) {
    let plain = Some(user).filter(|user| user.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    match plain.and_then(|user| user.parse().ok()) {
        Some(_) if user.is_empty() => {}
        Some(user) => drop(metadata.insert("x-headway-user", user)),
        None => {
            let user = MetadataValue::from_bytes(user.as_bytes());
            metadata.insert_bin("x-headway-user-bin", user);
        }
    }
}

/// The items of all pages, where `fetch` reads the page of a token and says the next token.
pub(crate) fn pages<T, Fetch, Page>(
    first: String,
    fetch: Fetch,
) -> impl Stream<Item = Result<T, Error>> + Send + 'static
where
    T: Send + 'static,
    Fetch: Fn(String) -> Page + Send + 'static,
    Page: Future<Output = Result<(Vec<T>, String), Error>> + Send + 'static,
{
    let start = (Vec::new().into_iter(), Some(first), fetch);
    stream::try_unfold(start, |(mut items, mut token, fetch)| async move {
        loop {
            if let Some(item) = items.next() {
                return Ok(Some((item, (items, token, fetch))));
            }
            let Some(page_token) = token.take() else {
                return Ok(None);
            };
            let (page, next) = fetch(page_token).await?;
            // A page may be empty although more follow.
            items = page.into_iter();
            token = (!next.is_empty()).then_some(next);
        }
    })
}
