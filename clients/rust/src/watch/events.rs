//! Following the audit log.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt, stream};
use headway::v1::{AuditEvent, WatchEventsRequest, WatchEventsResponse};
use tonic::Streaming;

use super::{Items, Source, Taken, follow};
use crate::{Client, Error};

/// The events of a partition or job, in the log's order: each once, none left out.
///
/// Connects again as [`Watch`](super::Watch) does; it has no end of its own. Ends with
/// `OUT_OF_RANGE` when it falls behind what the server keeps.
pub struct EventsWatch(Items<AuditEvent>);

impl EventsWatch {
    pub(crate) fn new(client: Client, request: WatchEventsRequest) -> Self {
        let batches = follow(client, Log { request });
        let events = batches.flat_map(|batch| {
            stream::iter(match batch {
                Ok(events) => events.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        });
        Self(Box::pin(events))
    }
}

impl Stream for EventsWatch {
    type Item = Result<AuditEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for EventsWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventsWatch").finish_non_exhaustive()
    }
}

struct Log {
    request: WatchEventsRequest,
}

impl Source for Log {
    type Message = WatchEventsResponse;
    type Item = Vec<AuditEvent>;

    fn name(&self) -> &str {
        &self.request.parent
    }

    async fn open(&self, client: &Client) -> Result<Streaming<WatchEventsResponse>, Error> {
        client.open_events_watch(self.request.clone()).await
    }

    fn take(&mut self, response: WatchEventsResponse) -> Taken<Vec<AuditEvent>> {
        self.request.resume_token = response.resume_token;
        match response.events.is_empty() {
            true => Taken::Nothing,
            false => Taken::Next(response.events),
        }
    }
}
