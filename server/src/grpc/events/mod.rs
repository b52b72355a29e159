//! EventService: the audit log.

mod request;
mod view;

use futures::StreamExt;
use headway::v1::{self, event_service_server::EventService};
use headway_domain::{Error, JobId, JobUid};
use headway_store::{EventQuery, Position};
use tonic::Request;

use self::request::{self as read, EventParent};
use super::{
    api::{Answer, Answers, Api, answer},
    request as common,
    status::ApiError,
    tokens::cursor_text,
    violations::Violations,
};
use crate::watch::{EventsUpdate, follow_events};

#[tonic::async_trait]
impl EventService for Api {
    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Answer<v1::ListEventsResponse> {
        answer(self.list_events(request.into_inner()).await)
    }

    type WatchEventsStream = Answers<v1::WatchEventsResponse>;

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Answer<Self::WatchEventsStream> {
        answer(self.watch_events(request.into_inner()).await)
    }
}

impl Api {
    pub(crate) async fn list_events(
        &self,
        request: v1::ListEventsRequest,
    ) -> Result<v1::ListEventsResponse, ApiError> {
        let mut violations = Violations::default();
        let parent = violations.take(EventParent::read(&request.parent));
        let uid = violations.take(common::job_uid("job_uid", &request.job_uid));
        let kinds = read::kinds(&request.kinds, &mut violations);
        let after = violations.take(read::start(&request.after, &request.page_token));
        let size = violations.take(common::page_size(request.page_size));
        let (parent, uid, after, size) = violations.values((parent, uid, after, size))?;
        let partition = parent.partition().clone();
        let query = EventQuery {
            job: self.job_of(parent, uid).await?,
            partition,
            kinds,
        };
        let after: Position = after.unwrap_or_default();
        let page = self.store().events().list(&query, after, size).await?;
        let unreadable = page.unreadable.iter();
        let unreadable = unreadable.map(|event| cursor_text(event.position));
        Ok(v1::ListEventsResponse {
            events: page.events.iter().map(view::event).collect(),
            next_page_token: match page.more {
                true => cursor_text(page.next),
                false => String::new(),
            },
            next_cursor: cursor_text(page.next),
            unreadable: unreadable.collect(),
        })
    }

    pub(crate) async fn watch_events(
        &self,
        request: v1::WatchEventsRequest,
    ) -> Result<Answers<v1::WatchEventsResponse>, ApiError> {
        let mut violations = Violations::default();
        let parent = violations.take(EventParent::read(&request.parent));
        let uid = violations.take(common::job_uid("job_uid", &request.job_uid));
        let kinds = read::kinds(&request.kinds, &mut violations);
        let after = violations.take(read::resume_token(&request.resume_token));
        let bookmark = violations.take(common::bookmark_interval(request.bookmark_interval));
        let (parent, uid, after, bookmark) = violations.values((parent, uid, after, bookmark))?;
        if self.stopping.is_cancelled() {
            return Err(ApiError::Stopping);
        }
        let partition = parent.partition().clone();
        let query = EventQuery {
            job: self.job_of(parent, uid).await?,
            partition,
            kinds,
        };
        let watched = self.partitions.watch(&query.partition)?;
        let store = self.store().clone();
        let after = match after {
            Some(after) => {
                // A cursor that is too old is refused now and not in the stream.
                store.events().list(&query, after, 1).await?;
                after
            }
            None => store.events().end().await?,
        };
        let updates = follow_events(
            watched,
            query,
            after,
            bookmark,
            store,
            self.stopping.clone(),
        );
        Ok(Box::pin(updates.map(|update| {
            let EventsUpdate { events, position } = update?;
            Ok(v1::WatchEventsResponse {
                events: events.iter().map(|row| view::event(row)).collect(),
                resume_token: cursor_text(position),
            })
        })))
    }

    /// The job whose events are requested.
    async fn job_of(
        &self,
        parent: EventParent,
        uid: Option<JobUid>,
    ) -> Result<Option<(JobId, JobUid)>, ApiError> {
        match (parent, uid) {
            (EventParent::Partition(_), None) => Ok(None),
            (EventParent::Partition(_), Some(_)) => {
                Err(Error::field("job_uid", "needs the job's name as parent").into())
            }
            (EventParent::Job(name), Some(uid)) => Ok(Some((name.job, uid))),
            (EventParent::Job(name), None) => match self.store().events().last_uid(&name).await? {
                Some(uid) => Ok(Some((name.job, uid))),
                None => Err(Error::JobNotFound(name).into()),
            },
        }
    }
}
