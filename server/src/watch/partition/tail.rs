//! The stream of one watcher of a partition's audit log: every event once, in the log's order.
//! Events come from the partition's ring, or from the database if the ring does not reach back far
//! enough.

use std::{sync::Arc, time::Duration};

use futures::Stream;
use headway_store::{EventQuery, EventRow, Position, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{feed::STALE, table::WatchedPartition};
use crate::grpc::status::ApiError;

/// The most events in one message.
const CHUNK: usize = 500;

/// One message. Without events it is a bookmark.
#[derive(Debug)]
pub(crate) struct EventsUpdate {
    /// The events that follow.
    pub(crate) events: Vec<Arc<EventRow>>,
    /// Where another stream continues.
    pub(crate) position: Position,
}

/// The events of a watched partition after a position. Ends with an error if the server stops, if
/// the database does not answer, or if the watcher fell behind what is kept.
pub(crate) fn follow_events(
    watched: WatchedPartition,
    query: EventQuery,
    after: Position,
    bookmark: Duration,
    store: Store,
    stopping: CancellationToken,
) -> impl Stream<Item = Result<EventsUpdate, ApiError>> + Send + 'static {
    let tail = Tail {
        watched,
        query,
        position: after,
        bookmark,
        store,
        stopping,
        said: Instant::now(),
        ended: false,
    };
    futures::stream::unfold(tail, |mut tail| async move {
        if tail.ended {
            return None;
        }
        let stopping = tail.stopping.clone();
        let next = tokio::select! {
            biased;
            () = stopping.cancelled() => Err(ApiError::Stopping),
            next = tail.next() => next,
        };
        tail.ended = next.is_err();
        tail.said = Instant::now();
        Some((next, tail))
    })
}

struct Tail {
    watched: WatchedPartition,
    query: EventQuery,
    position: Position,
    bookmark: Duration,
    store: Store,
    stopping: CancellationToken,
    /// When the last message was sent.
    said: Instant,
    ended: bool,
}

impl Tail {
    async fn next(&mut self) -> Result<EventsUpdate, ApiError> {
        loop {
            self.watched.news.borrow_and_update();
            let events = self.more().await?;
            if !events.is_empty() {
                return Ok(self.update(events));
            }
            let (now, due) = (Instant::now(), self.said + self.bookmark);
            if due <= now && self.is_fresh() {
                return Ok(self.update(events));
            }
            tokio::select! {
                changed = self.watched.news.changed() => {
                    // The partition's feed lives as long as this watcher has its place.
                    changed.map_err(|_| ApiError::Stopping)?;
                }
                () = tokio::time::sleep_until(due), if due > now => {}
            }
        }
    }

    fn update(&self, events: Vec<Arc<EventRow>>) -> EventsUpdate {
        EventsUpdate {
            events,
            position: self.position,
        }
    }

    /// The events after the position, which moves behind them.
    async fn more(&mut self) -> Result<Vec<Arc<EventRow>>, ApiError> {
        let feed = &self.watched.feed;
        // Without a mark the feed knows nothing.
        if feed.present().is_none() {
            return Ok(Vec::new());
        }
        let known = feed.events(self.position, CHUNK, |row| takes(&self.query, row));
        if let Some((events, position)) = known {
            self.position = position;
            return Ok(events);
        }
        loop {
            let size = u32::try_from(CHUNK).unwrap_or(u32::MAX);
            let page = self
                .store
                .events()
                .list(&self.query, self.position, size)
                .await?;
            self.position = page.next;
            if !page.events.is_empty() || !page.more {
                return Ok(page.events.into_iter().map(Arc::new).collect());
            }
        }
    }

    /// Whether it is known that nothing else happened until lately.
    fn is_fresh(&self) -> bool {
        let mark = self.watched.feed.present();
        mark.is_some_and(|(mark, _)| mark.made.elapsed() < self.bookmark + STALE)
    }
}

/// Whether the query asks for this event of its partition.
fn takes(query: &EventQuery, row: &EventRow) -> bool {
    query.job.as_ref().is_none_or(|(_, uid)| *uid == row.uid)
        && (query.kinds.is_empty() || query.kinds.contains(&row.kind))
}
