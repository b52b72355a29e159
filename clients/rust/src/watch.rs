//! Following one job across lost connections.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, stream};
use headway::v1::{Job, JobState, WatchJobRequest, WatchJobResponse};
use tokio::time::{Instant, sleep};
use tonic::Streaming;

use crate::{Client, Error, JobName, retry::Backoff};

/// The states of one job, each newer than the one before.
///
/// A lost connection, and a server that stops, are survived: the watch connects again with
/// growing delays and goes on where it was lost, on any server, until it has heard nothing for
/// [`ClientConfig::watch_patience`](crate::ClientConfig::watch_patience). States that are not
/// newer than the last one are dropped. It ends after the final state, or after an error:
/// `NOT_FOUND` when the job was deleted, `UNAVAILABLE` or `DEADLINE_EXCEEDED` when the patience
/// is over. Nothing is buffered: who reads slowly gets the newest state from the server.
pub struct Watch(Pin<Box<dyn Stream<Item = Result<Job, Error>> + Send>>);

/// Whether a job in this state has ended: COMPLETED, FAILED or CANCELLED.
pub fn is_final(state: JobState) -> bool {
    match state {
        JobState::Completed | JobState::Failed | JobState::Cancelled => true,
        JobState::Unspecified | JobState::Waiting | JobState::Active | JobState::Paused => false,
    }
}

impl Watch {
    pub(crate) fn new(client: Client, name: &JobName, min_interval: Option<Duration>) -> Self {
        // An interval beyond what the wire can say is refused by the server as too long.
        let min_interval = min_interval.map(|interval| {
            prost_types::Duration::try_from(interval).unwrap_or(prost_types::Duration {
                seconds: i64::MAX,
                nanos: 0,
            })
        });
        let watcher = Watcher {
            backoff: Backoff::new(&client.config().retry),
            client,
            request: WatchJobRequest {
                name: name.to_string(),
                min_interval,
                ..WatchJobRequest::default()
            },
            states: None,
            seen: None,
            heard: None,
            ended: false,
        };
        let states = stream::unfold(watcher, |mut watcher| async move {
            let state = watcher.next().await?;
            Some((state, watcher))
        });
        Self(Box::pin(states))
    }
}

impl Stream for Watch {
    type Item = Result<Job, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

struct Watcher {
    client: Client,
    request: WatchJobRequest,
    backoff: Backoff,
    /// The open stream.
    states: Option<Streaming<WatchJobResponse>>,
    /// The uid and revision that were passed on last.
    seen: Option<(String, i64)>,
    /// When the server last said something, or the watch began.
    heard: Option<Instant>,
    ended: bool,
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<Job, Error>> {
        if self.ended {
            return None;
        }
        self.heard.get_or_insert_with(Instant::now);
        loop {
            let error = match self.receive().await {
                Ok(response) => {
                    self.heard = Some(Instant::now());
                    self.backoff.reset();
                    self.request.resume_token = response.resume_token;
                    // A bookmark has no state; a server that does not know the token may show an old one.
                    let Some(job) = response.job.filter(|job| !self.is_stale(job)) else {
                        continue;
                    };
                    self.seen = Some((job.uid.clone(), job.revision));
                    self.ended = is_final(job.state());
                    return Some(Ok(job));
                }
                Err(error) => error,
            };
            self.states = None;
            let delay = self.backoff.next(error.retry_delay());
            if !error.is_passing() || self.is_too_long(delay) {
                self.ended = true;
                return Some(Err(error));
            }
            tracing::debug!(job = %self.request.name, error = %error, delay = ?delay, "watch connects again");
            sleep(delay).await;
        }
    }

    /// The next message that the server sends, on a new stream if none is open.
    async fn receive(&mut self) -> Result<WatchJobResponse, Error> {
        let states = match &mut self.states {
            Some(states) => states,
            None => {
                let states = self.client.open_watch(self.request.clone()).await?;
                self.states.insert(states)
            }
        };
        let response = states.message().await.map_err(Error::from_status)?;
        response.ok_or_else(Error::ended_early)
    }

    fn is_stale(&self, job: &Job) -> bool {
        match &self.seen {
            Some((uid, revision)) => *uid == job.uid && job.revision <= *revision,
            None => false,
        }
    }

    /// Whether the patience would be over after one more delay.
    fn is_too_long(&self, delay: Duration) -> bool {
        let silent = self.heard.map(|heard| heard.elapsed()).unwrap_or_default();
        silent + delay > self.client.config().watch_patience
    }
}
