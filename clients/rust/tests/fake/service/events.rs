//! The calls about the audit log.

use std::time::Instant;

use headway::v1::{
    AuditEvent, ListEventsRequest, ListEventsResponse, WatchEventsRequest, WatchEventsResponse,
    event_service_server::EventService,
};
use tonic::{Request, Response, Status};

use crate::fake::{Answers, Fake, play};

/// Whether a request for events of these kinds, or of all if there are none, asks for this one.
fn is_wanted(kinds: &[i32], event: &AuditEvent) -> bool {
    kinds.is_empty() || kinds.contains(&event.kind)
}

#[tonic::async_trait]
impl EventService for Fake {
    type WatchEventsStream = Answers<WatchEventsResponse>;

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let mut script = self.script();
        let WatchEventsRequest {
            resume_token,
            kinds,
            ..
        } = request.into_inner();
        let called = ("watch events", resume_token, Instant::now());
        script.calls.push(called);
        play(script.events_watches.pop_front(), move |mut message| {
            message.events.retain(|event| is_wanted(&kinds, event));
            message
        })
    }

    async fn list_events(
        &self,
        request: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        let mut script = self.script();
        let ListEventsRequest {
            after,
            kinds,
            page_token,
            ..
        } = request.into_inner();
        script
            .calls
            .push(("events", after + &page_token, Instant::now()));
        let mut page = script.event_pages.pop_front().unwrap_or_default();
        page.events.retain(|event| is_wanted(&kinds, event));
        Ok(Response::new(page))
    }
}
