//! Following jobs, partitions and the audit log across lost connections.

mod events;
mod job;
mod jobs;

use std::{future::Future, pin::Pin, time::Duration};

use futures::{Stream, stream};
use headway_retry::Backoff;
use tokio::time::{Instant, sleep};
use tonic::Streaming;

use crate::{Client, Error, retry};

pub use events::EventsWatch;
pub use job::{Watch, is_final};
pub use jobs::{JobsUpdate, JobsWatch};

/// A stream of the server that can be gone on with after it was lost.
trait Source: Send + 'static {
    /// What the server sends.
    type Message: Send;
    /// What is passed on.
    type Item: Send;

    /// What is followed, for the log.
    fn name(&self) -> &str;

    /// Opens the stream where the last one was lost.
    fn open(
        &self,
        client: &Client,
    ) -> impl Future<Output = Result<Streaming<Self::Message>, Error>> + Send;

    /// Takes a message, and remembers where to go on.
    fn take(&mut self, message: Self::Message) -> Taken<Self::Item>;
}

/// What became of a message.
enum Taken<T> {
    /// There is nothing to pass on.
    Nothing,
    /// This is passed on.
    Next(T),
    /// This is passed on, and nothing follows.
    Last(T),
}

/// The items of a source, in a stream that connects again by itself.
type Items<T> = Pin<Box<dyn Stream<Item = Result<T, Error>> + Send>>;

/// Follows a source until its last item, an error that does not pass, or until the server was
/// silent for [`ClientConfig::watch_patience`](crate::ClientConfig::watch_patience).
fn follow<S: Source>(client: Client, source: S) -> Items<S::Item> {
    let follower = Follower {
        backoff: retry::backoff(&client.config().retry),
        client,
        source,
        messages: None,
        heard: None,
        ended: false,
    };
    Box::pin(stream::unfold(follower, |mut follower| async move {
        let item = follower.next().await?;
        Some((item, follower))
    }))
}

struct Follower<S: Source> {
    client: Client,
    source: S,
    backoff: Backoff,
    /// The open stream.
    messages: Option<Streaming<S::Message>>,
    /// When the server last said something, or the watch began.
    heard: Option<Instant>,
    ended: bool,
}

impl<S: Source> Follower<S> {
    async fn next(&mut self) -> Option<Result<S::Item, Error>> {
        if self.ended {
            return None;
        }
        self.heard.get_or_insert_with(Instant::now);
        loop {
            let error = match self.receive().await {
                Ok(message) => {
                    self.heard = Some(Instant::now());
                    self.backoff.reset();
                    match self.source.take(message) {
                        Taken::Nothing => continue,
                        Taken::Next(item) => return Some(Ok(item)),
                        Taken::Last(item) => {
                            self.ended = true;
                            return Some(Ok(item));
                        }
                    }
                }
                Err(error) => error,
            };
            self.messages = None;
            let delay = self.backoff.next_after(error.retry_delay());
            if !error.is_passing() || self.is_too_long(delay) {
                self.ended = true;
                return Some(Err(error));
            }
            tracing::debug!(name = %self.source.name(), error = %error, delay = ?delay, "lost a watch; connecting again");
            sleep(delay).await;
        }
    }

    /// The next message that the server sends, on a new stream if none is open.
    async fn receive(&mut self) -> Result<S::Message, Error> {
        let messages = match &mut self.messages {
            Some(messages) => messages,
            None => {
                let messages = self.source.open(&self.client).await?;
                self.messages.insert(messages)
            }
        };
        let message = messages.message().await.map_err(Error::from_status)?;
        message.ok_or_else(Error::ended_early)
    }

    /// Whether the patience would be over after one more delay.
    fn is_too_long(&self, delay: Duration) -> bool {
        let silent = self.heard.map(|heard| heard.elapsed()).unwrap_or_default();
        silent + delay > self.client.config().watch_patience
    }
}

/// A duration of the wire; one beyond what it can say is refused by the server as too long.
fn wire(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or(prost_types::Duration {
        seconds: i64::MAX,
        nanos: 0,
    })
}
