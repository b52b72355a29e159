//! Following one job.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::Stream;
use headway::v1::{Job, JobState, WatchJobRequest, WatchJobResponse};
use tonic::Streaming;

use super::{Items, Source, Taken, follow, wire};
use crate::{Client, Error, JobName};

/// The states of one job, each newer than the one before.
///
/// A lost connection, and a server that stops, are survived: the watch connects again with
/// growing delays and goes on where it was lost, on any server, until it has heard nothing for
/// [`ClientConfig::watch_patience`](crate::ClientConfig::watch_patience). States that are not
/// newer than the last one are dropped. It ends after the final state, or after an error:
/// `NOT_FOUND` when the job was deleted, `UNAVAILABLE` or `DEADLINE_EXCEEDED` when the patience
/// is over. Nothing is buffered: who reads slowly gets the newest state from the server.
pub struct Watch(Items<Job>);

/// Whether a job in this state has ended: COMPLETED, FAILED or CANCELLED.
pub fn is_final(state: JobState) -> bool {
    match state {
        JobState::Completed | JobState::Failed | JobState::Cancelled => true,
        JobState::Unspecified | JobState::Waiting | JobState::Active | JobState::Paused => false,
    }
}

impl Watch {
    pub(crate) fn new(client: Client, name: &JobName, min_interval: Option<Duration>) -> Self {
        let states = States {
            request: WatchJobRequest {
                name: name.to_string(),
                min_interval: min_interval.map(wire),
                ..WatchJobRequest::default()
            },
            seen: None,
        };
        Self(follow(client, states))
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

struct States {
    request: WatchJobRequest,
    /// The uid and revision that were passed on last.
    seen: Option<(String, i64)>,
}

impl Source for States {
    type Message = WatchJobResponse;
    type Item = Job;

    fn name(&self) -> &str {
        &self.request.name
    }

    async fn open(&self, client: &Client) -> Result<Streaming<WatchJobResponse>, Error> {
        client.open_watch(self.request.clone()).await
    }

    fn take(&mut self, response: WatchJobResponse) -> Taken<Job> {
        self.request.resume_token = response.resume_token;
        // A bookmark has no state; a server that does not know the token may show an old one.
        let Some(job) = response.job.filter(|job| !self.is_stale(job)) else {
            return Taken::Nothing;
        };
        self.seen = Some((job.uid.clone(), job.revision));
        match is_final(job.state()) {
            true => Taken::Last(job),
            false => Taken::Next(job),
        }
    }
}

impl States {
    fn is_stale(&self, job: &Job) -> bool {
        match &self.seen {
            Some((uid, revision)) => *uid == job.uid && job.revision <= *revision,
            None => false,
        }
    }
}
