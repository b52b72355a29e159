//! The stream of one watcher: the snapshot, then the newest state at each change, at most one per
//! interval. It sends bookmarks while nothing changes, and the final state at once.
//!
//! Nothing queues up. Between two messages only the newest state is kept, so a slow client sees
//! fewer states, never old ones.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::Stream;
use headway_domain::Error;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{
    shown::ShownState,
    table::{Seen, Watched},
};
use crate::grpc::status::ApiError;

/// How often a watcher wants messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// The shortest time between two states.
    pub(crate) interval: Duration,
    /// How long the stream may be silent before it sends a bookmark.
    pub(crate) bookmark: Duration,
    /// The revision that an earlier stream showed last.
    pub(crate) resume: Option<i64>,
}

/// One message of a watch.
#[derive(Debug, Clone)]
pub(crate) enum Update {
    /// A newer state.
    State(Arc<ShownState>),
    /// Nothing changed since this revision.
    Bookmark(i64),
}

/// The states of a watched job. Revisions strictly rise. The stream ends after a final state, and
/// with an error when the job is deleted or the server stops.
pub(crate) fn follow(
    watched: Watched,
    pace: Pace,
    stopping: CancellationToken,
) -> impl Stream<Item = Result<Update, ApiError>> + Send + 'static {
    let now = Instant::now();
    let follower = Follower {
        watched,
        pace,
        stop: Box::pin(stopping.clone().cancelled_owned()),
        stopping,
        alarm: Box::pin(tokio::time::sleep(pace.bookmark)),
        shown: pace.resume,
        said: now,
        next_state: now,
        ended: false,
    };
    futures::stream::unfold(follower, |mut follower| async move {
        let next = follower.next().await?;
        Some((next, follower))
    })
}

struct Follower {
    watched: Watched,
    pace: Pace,
    stopping: CancellationToken,
    /// Both stay registered between messages: registering again for each would cost more than the
    /// message.
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    alarm: Pin<Box<Sleep>>,
    /// The revision that was shown last.
    shown: Option<i64>,
    /// When the last message was sent.
    said: Instant,
    /// Before this time only a final state is sent.
    next_state: Instant,
    ended: bool,
}

/// What to do about the newest state.
enum Step {
    Say(Update),
    /// Wait for a change until this time, or without end.
    Wait(Option<Instant>),
    End,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<Update, ApiError>> {
        if self.ended {
            return None;
        }
        let next = self.newer().await.transpose()?;
        self.said = Instant::now();
        match &next {
            Ok(Update::State(view)) => {
                self.ended = view.job.phase.is_final();
                self.shown = Some(view.job.revision);
                // Intervals too long for the clock were refused before.
                self.next_state = self.said + self.pace.interval;
            }
            Ok(Update::Bookmark(_)) => {}
            Err(_) => self.ended = true,
        }
        Some(next)
    }

    /// The next message, or `None` at the end.
    async fn newer(&mut self) -> Result<Option<Update>, ApiError> {
        loop {
            if self.stopping.is_cancelled() {
                return Err(ApiError::Stopping);
            }
            let until = match self.step()? {
                Step::Say(update) => return Ok(Some(update)),
                Step::End => return Ok(None),
                Step::Wait(until) => until,
            };
            if let Some(until) = until
                && (self.alarm.is_elapsed() || self.alarm.deadline() > until)
            {
                self.alarm.as_mut().reset(until);
            }
            let alarm = until.is_some();
            tokio::select! {
                biased;
                () = &mut self.stop => return Err(ApiError::Stopping),
                // The hub keeps the sender as long as this watcher has its place.
                changed = self.watched.receiver.changed() => {
                    if changed.is_err() {
                        return Err(ApiError::Stopping);
                    }
                }
                // The alarm may go off early, because it was set for an earlier reason. The next
                // step sets it again.
                () = &mut self.alarm, if alarm => {}
            }
        }
    }

    fn step(&mut self) -> Result<Step, ApiError> {
        let view = match self.watched.receiver.borrow_and_update().clone() {
            Seen::Gone(last) => {
                return Err(Error::JobNotFound(last.job.meta.name.clone()).into());
            }
            Seen::State(view) => view,
        };
        let (now, last) = (Instant::now(), view.job.phase.is_final());
        let shown = self.shown.filter(|shown| *shown >= view.job.revision);
        let Some(shown) = shown else {
            if last || self.next_state <= now {
                return Ok(Step::Say(Update::State(view)));
            }
            return Ok(Step::Wait(Some(self.next_state)));
        };
        if last {
            // An earlier stream showed this state and was lost before it ended.
            return Ok(Step::End);
        }
        let due = self.said.checked_add(self.pace.bookmark);
        Ok(match due {
            Some(due) if due <= now => Step::Say(Update::Bookmark(shown)),
            due => Step::Wait(due),
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use headway_domain::jobs::Phase;
    use headway_runtime::tasks;
    use tokio::time::timeout;

    use super::{
        super::table::{Hub, tests::state},
        *,
    };

    const MS: Duration = Duration::from_millis(1);
    const BOOKMARK: Duration = Duration::from_secs(3600);

    type Updates = std::pin::Pin<Box<dyn Stream<Item = Result<Update, ApiError>> + Send>>;

    /// The revision of the next state.
    async fn revision(updates: &mut Updates) -> i64 {
        match updates.next().await.unwrap().unwrap() {
            Update::State(view) => view.job.revision,
            Update::Bookmark(revision) => panic!("a bookmark at {revision}"),
        }
    }

    struct Setup {
        hub: Hub,
        stopping: CancellationToken,
    }

    impl Setup {
        fn new() -> Self {
            Self {
                hub: Hub::new(10),
                stopping: CancellationToken::new(),
            }
        }

        fn follow(&self, interval: Duration) -> Updates {
            self.resume(interval, None)
        }

        fn resume(&self, interval: Duration, resume: Option<i64>) -> Updates {
            let watched = self.hub.watch(state(1, 1, Phase::Active)).unwrap();
            let pace = Pace {
                interval,
                bookmark: BOOKMARK,
                resume,
            };
            Box::pin(follow(watched, pace, self.stopping.clone()))
        }

        fn show(&self, revision: i64, phase: Phase) {
            let view = state(1, revision, phase);
            let uid = view.job.meta.uid;
            self.hub.read(uid, Some(view));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn states_between_two_messages_are_skipped() {
        let setup = Setup::new();
        let mut states = setup.follow(100 * MS);
        let started = Instant::now();
        assert_eq!(revision(&mut states).await, 1);
        assert_eq!(
            started.elapsed(),
            Duration::ZERO,
            "the snapshot comes at once"
        );
        for number in 2..=50 {
            setup.show(number, Phase::Active);
        }
        assert_eq!(revision(&mut states).await, 50);
        assert!(started.elapsed() >= 100 * MS);
        let idle = timeout(1000 * MS, states.next()).await;
        assert!(idle.is_err(), "nothing changed");
        setup.show(51, Phase::Active);
        let changed = Instant::now();
        assert_eq!(revision(&mut states).await, 51);
        assert_eq!(
            changed.elapsed(),
            Duration::ZERO,
            "after a pause nothing waits"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_final_state_comes_at_once_and_ends_the_stream() {
        let setup = Setup::new();
        let mut states = setup.follow(60_000 * MS);
        states.next().await.unwrap().unwrap();
        let started = Instant::now();
        setup.show(2, Phase::Active);
        let next = tasks::spawn(async move {
            let last = revision(&mut states).await;
            (last, states.next().await.is_none())
        });
        tokio::time::sleep(5 * MS).await;
        setup.show(3, Phase::Failed);
        assert_eq!(next.await.unwrap(), (3, true));
        assert!(started.elapsed() < 100 * MS);
    }

    #[tokio::test]
    async fn deletion_and_shutdown_end_the_stream_with_an_error() {
        let setup = Setup::new();
        let mut states = setup.follow(Duration::ZERO);
        states.next().await.unwrap().unwrap();
        setup
            .hub
            .read(state(1, 1, Phase::Active).job.meta.uid, None);
        let error = states.next().await.unwrap().unwrap_err();
        assert!(matches!(error, ApiError::Domain(Error::JobNotFound(_))));
        assert!(states.next().await.is_none());

        let setup = Setup::new();
        let mut states = setup.follow(Duration::ZERO);
        states.next().await.unwrap().unwrap();
        setup.stopping.cancel();
        assert!(matches!(states.next().await, Some(Err(ApiError::Stopping))));
        assert!(states.next().await.is_none());
    }

    #[tokio::test]
    async fn a_dropped_stream_gives_its_place_back() {
        let setup = Setup::new();
        drop(setup.follow(Duration::ZERO));
        assert!(setup.hub.watched().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn bookmarks_say_that_nothing_changed() {
        let setup = Setup::new();
        let mut states = setup.follow(Duration::ZERO);
        assert_eq!(revision(&mut states).await, 1);
        for _ in 0..2 {
            let since = Instant::now();
            let next = states.next().await.unwrap().unwrap();
            assert!(matches!(next, Update::Bookmark(1)), "{next:?}");
            assert_eq!(since.elapsed(), BOOKMARK);
        }
        tokio::time::sleep(BOOKMARK / 2).await;
        setup.show(2, Phase::Active);
        assert_eq!(revision(&mut states).await, 2);
        let since = Instant::now();
        let next = states.next().await.unwrap().unwrap();
        assert!(matches!(next, Update::Bookmark(2)));
        assert_eq!(since.elapsed(), BOOKMARK, "a state puts the bookmark off");
    }

    #[tokio::test(start_paused = true)]
    async fn a_resumed_stream_shows_only_what_is_new() {
        let setup = Setup::new();
        let mut states = setup.resume(Duration::ZERO, Some(1));
        let next = states.next().await.unwrap().unwrap();
        assert!(
            matches!(next, Update::Bookmark(1)),
            "the snapshot was shown before"
        );
        setup.show(2, Phase::Completed);
        assert_eq!(revision(&mut states).await, 2);
        assert!(states.next().await.is_none());
        // The final state was shown, and the stream was lost before it ended.
        let mut states = setup.resume(Duration::ZERO, Some(2));
        setup.show(2, Phase::Completed);
        assert!(states.next().await.is_none());
    }
}
