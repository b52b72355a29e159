//! The stream of one watcher of a partition's jobs. It begins with a listing, or with what was
//! missed since the resume token. Then it sends the newest state of each job that changed, at most
//! once per interval, and bookmarks while nothing changes.
//!
//! Nothing queues up: the watcher has a place in the partition's log, which holds each job once. If
//! the log has forgotten the place, the watcher reads what changed since its last mark from the
//! database, as after a resume.

mod catch_up;

use std::time::Duration;

use futures::Stream;
use headway_domain::{JobName, JobUid, Micros};
use headway_store::{JobFilter, JobView, Position, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::catch_up::Missed;
use super::{
    feed::{Mark, STALE, Taken},
    log::{Entry, Gone},
    shown::{Said, Shown},
    table::WatchedPartition,
    task::COMMIT_LAG,
};
use crate::grpc::status::ApiError;

/// Jobs that are read and shown at once.
const CHUNK: usize = 200;

/// What a watcher wants to see, and how.
#[derive(Debug, Clone)]
pub(crate) struct JobsPace {
    /// Which jobs.
    pub(crate) filter: JobFilter,
    /// The most jobs in the listing.
    pub(crate) listed: u64,
    /// The shortest time between two messages about changes.
    pub(crate) interval: Duration,
    /// How long the stream may be silent before it sends a bookmark.
    pub(crate) bookmark: Duration,
    /// Where an earlier stream ended.
    pub(crate) resume: Option<Since>,
}

/// A point in time: the watcher was shown everything committed before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since {
    /// By the database's clock.
    pub(crate) time: Micros,
    /// In the audit log.
    pub(crate) position: Position,
}

impl From<Mark> for Since {
    fn from(mark: Mark) -> Self {
        Self {
            time: mark.time,
            position: mark.position,
        }
    }
}

/// One message.
#[derive(Debug, Default)]
pub(crate) struct JobsUpdate {
    /// Jobs that match, in their newest states.
    pub(crate) jobs: Vec<JobView>,
    /// Jobs that are deleted or no longer match.
    pub(crate) gone: Vec<Gone>,
    /// A listing begins.
    pub(crate) reset: bool,
    /// The listing, or what was missed, is complete.
    pub(crate) listed: bool,
    /// Where another stream may continue.
    pub(crate) since: Option<Since>,
    /// The names of jobs of the listing that this version cannot read.
    pub(crate) unreadable: Vec<String>,
    /// Where the listing was cut.
    pub(crate) below: Option<i64>,
}

/// The jobs of a watched partition. Ends with an error if the server stops or the database does not
/// answer.
pub(crate) fn follow_jobs(
    watched: WatchedPartition,
    pace: JobsPace,
    store: Store,
    stopping: CancellationToken,
) -> impl Stream<Item = Result<JobsUpdate, ApiError>> + Send + 'static {
    let now = Instant::now();
    let follower = Follower {
        stage: Stage::Begin(pace.resume),
        watched,
        pace,
        store,
        stopping,
        shown: Shown::default(),
        place: 0,
        since: None,
        said: now,
        next_change: now,
        ended: false,
    };
    futures::stream::unfold(follower, |mut follower| async move {
        if follower.ended {
            return None;
        }
        let next = follower.next().await;
        follower.ended = next.is_err();
        follower.said = Instant::now();
        Some((next, follower))
    })
}

struct Follower {
    watched: WatchedPartition,
    pace: JobsPace,
    store: Store,
    stopping: CancellationToken,
    stage: Stage,
    shown: Shown,
    /// The next entry of the log to look at.
    place: u64,
    /// The point up to which everything was shown.
    since: Option<Since>,
    /// When the last message was sent.
    said: Instant,
    /// Before this time no change is sent.
    next_change: Instant,
    ended: bool,
}

enum Stage {
    /// Nothing was sent yet. Continues from there, or lists.
    Begin(Option<Since>),
    /// Lists the jobs below this key.
    Listing {
        below: Option<i64>,
        left: u64,
        since: Since,
        first: bool,
    },
    /// Sends what changed meanwhile.
    Missed(Missed),
    Live,
}

impl Follower {
    async fn next(&mut self) -> Result<JobsUpdate, ApiError> {
        let stopping = self.stopping.clone();
        let next = async {
            loop {
                if let Some(update) = self.step().await? {
                    return Ok(update);
                }
            }
        };
        tokio::select! {
            biased;
            () = stopping.cancelled() => Err(ApiError::Stopping),
            next = next => next,
        }
    }

    /// One step. `None` if it has nothing to send.
    async fn step(&mut self) -> Result<Option<JobsUpdate>, ApiError> {
        match std::mem::replace(&mut self.stage, Stage::Live) {
            Stage::Begin(resume) => {
                self.begin(resume).await?;
                Ok(None)
            }
            Stage::Listing {
                below,
                left,
                since,
                first,
            } => self.list(below, left, since, first).await.map(Some),
            Stage::Missed(missed) => self.catch_up(missed).await,
            Stage::Live => self.live().await,
        }
    }

    /// Takes a place in the log first, so that changes during the reads of the database are sent
    /// after them.
    async fn begin(&mut self, resume: Option<Since>) -> Result<(), ApiError> {
        let (mark, place) = loop {
            self.watched.news.borrow_and_update();
            if let Some(present) = self.watched.feed.present() {
                break present;
            }
            self.changed().await?;
        };
        self.place = place;
        let present = Since::from(mark);
        match resume {
            Some(since) => self.miss(since, present),
            None => self.relist(present),
        }
        Ok(())
    }

    fn relist(&mut self, since: Since) {
        self.shown.clear();
        self.stage = Stage::Listing {
            below: None,
            left: self.pace.listed,
            since,
            first: true,
        };
    }

    async fn list(
        &mut self,
        below: Option<i64>,
        left: u64,
        since: Since,
        first: bool,
    ) -> Result<JobsUpdate, ApiError> {
        let size = u32::try_from(left.min(CHUNK as u64)).unwrap_or(u32::MAX);
        let partition = &self.watched.feed.partition;
        let filter = &self.pace.filter;
        let page = self.store.list_jobs(partition, filter, below, size).await?;
        let left = left.saturating_sub(page.jobs.len() as u64);
        for view in &page.jobs {
            // Settled jobs do not change without an event, and a listing may be long.
            if view.job.settled.is_none() || view.job.updated >= since.time - COMMIT_LAG {
                self.note(view);
            }
        }
        let last = page.next.is_none() || left == 0;
        if last {
            self.since = Some(since);
        } else {
            self.stage = Stage::Listing {
                below: page.next,
                left,
                since,
                first: false,
            };
        }
        let unreadable = page.unreadable.iter();
        Ok(JobsUpdate {
            jobs: page.jobs,
            reset: first,
            listed: last,
            since: self.since.filter(|_| last),
            unreadable: unreadable
                .map(|id| format!("partitions/{}/jobs/{id}", self.watched.feed.partition))
                .collect(),
            below: page.next.filter(|_| last),
            ..JobsUpdate::default()
        })
    }

    async fn live(&mut self) -> Result<Option<JobsUpdate>, ApiError> {
        self.watched.news.borrow_and_update();
        let Some(taken) = self.watched.feed.take(self.place, CHUNK) else {
            let (Some(since), Some((mark, place))) = (self.since, self.watched.feed.present())
            else {
                self.stage = Stage::Begin(self.since);
                return Ok(None);
            };
            self.place = place;
            self.miss(since, mark.into());
            return Ok(None);
        };
        let now = Instant::now();
        if !taken.entries.is_empty() && now < self.next_change {
            tokio::time::sleep_until(self.next_change).await;
            return Ok(None);
        }
        let (update, fresh) = self.tell(taken);
        if !update.jobs.is_empty() || !update.gone.is_empty() {
            // Intervals too long for the clock were refused before.
            self.next_change = now + self.pace.interval;
            return Ok(Some(update));
        }
        let bookmark = self.said + self.pace.bookmark;
        if bookmark <= now && fresh {
            return Ok(Some(update));
        }
        tokio::select! {
            changed = self.changed() => changed?,
            () = tokio::time::sleep_until(bookmark), if bookmark > now => {}
        }
        Ok(None)
    }

    /// What these entries mean for this watcher, and whether it is known that there are no more.
    fn tell(&mut self, taken: Taken) -> (JobsUpdate, bool) {
        let mut update = JobsUpdate::default();
        for (after, entry) in taken.entries {
            self.place = after;
            match entry {
                Entry::State(view) => self.say((*view).clone(), &mut update),
                Entry::Deleted(gone) => {
                    self.shown.note(gone.uid, Said::Hidden(i64::MAX));
                    update.gone.push(gone);
                }
            }
        }
        let reached = |mark: &Mark| taken.all || mark.place <= self.place;
        let mark = taken.mark.filter(reached);
        self.since = mark.map(Since::from).or(self.since);
        update.since = self.since;
        let fresh = mark.is_some_and(|mark| mark.made.elapsed() < self.pace.bookmark + STALE);
        (update, fresh)
    }

    /// Adds a state to a message unless it was shown, or the news that it no longer matches unless
    /// that was sent.
    fn say(&mut self, view: JobView, update: &mut JobsUpdate) {
        let (uid, revision) = (view.job.meta.uid, view.job.revision);
        let said = self.shown.get(uid);
        if said.is_some_and(|said| said.revision() >= revision) {
            return;
        }
        if self.pace.filter.matches(&view.job) {
            self.note(&view);
            update.jobs.push(view);
        } else if self.pace.filter.may_have_matched(&view.job) {
            self.shown.note(uid, Said::Hidden(revision));
            if !matches!(said, Some(Said::Hidden(_))) {
                let name = view.job.meta.name.clone();
                update.gone.push(gone(uid, name, false));
            }
        }
    }

    fn note(&mut self, view: &JobView) {
        let said = Said::Shown(view.job.revision);
        self.shown.note(view.job.meta.uid, said);
    }

    /// Waits for a change. The partition's feed lives as long as this watcher has its place.
    async fn changed(&mut self) -> Result<(), ApiError> {
        let changed = self.watched.news.changed().await;
        changed.map_err(|_| ApiError::Stopping)
    }
}

fn gone(uid: JobUid, name: JobName, deleted: bool) -> Gone {
    Gone { uid, name, deleted }
}
