//! One watcher's stream: the snapshot, then the newest state whenever it moved, at most once per interval, and
//! the final state at once.
//!
//! Nothing queues up: between two messages only the newest state is kept, so a slow client sees fewer states,
//! never old ones.

use std::{sync::Arc, time::Duration};

use futures::Stream;
use headway_domain::Error;
use headway_store::JobView;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::table::{Seen, Watched};
use crate::grpc::status::ApiError;

/// The states of a watched job. Revisions strictly rise. Ends after a final state; with an error when the job is
/// deleted or the server stops.
pub(crate) fn follow(
    watched: Watched,
    interval: Duration,
    stopping: CancellationToken,
) -> impl Stream<Item = Result<Arc<JobView>, ApiError>> + Send + 'static {
    let follower = Follower {
        watched,
        interval,
        stopping,
        sent: None,
        ended: false,
    };
    futures::stream::unfold(follower, |mut follower| async move {
        let next = follower.next().await?;
        Some((next, follower))
    })
}

struct Follower {
    watched: Watched,
    interval: Duration,
    stopping: CancellationToken,
    /// The revision that was sent last, and when.
    sent: Option<(i64, Instant)>,
    ended: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<Arc<JobView>, ApiError>> {
        if self.ended {
            return None;
        }
        let next = self.newer().await;
        self.ended = match &next {
            Ok(view) => view.job.phase.is_final(),
            Err(_) => true,
        };
        if let Ok(view) = &next {
            self.sent = Some((view.job.revision, Instant::now()));
        }
        Some(next)
    }

    async fn newer(&mut self) -> Result<Arc<JobView>, ApiError> {
        loop {
            if self.stopping.is_cancelled() {
                return Err(ApiError::Stopping);
            }
            let seen = self.watched.receiver.borrow_and_update().clone();
            let view = match seen {
                Seen::Gone(last) => {
                    return Err(Error::JobNotFound(last.job.meta.name.clone()).into());
                }
                Seen::State(view) => view,
            };
            let due = match self.sent {
                None => return Ok(view),
                Some((revision, _)) if view.job.revision <= revision => None,
                Some(_) if view.job.phase.is_final() => return Ok(view),
                Some((_, when)) => match when.checked_add(self.interval) {
                    Some(due) if due > Instant::now() => Some(due),
                    Some(_) | None => return Ok(view),
                },
            };
            let wait = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stopping.cancelled() => return Err(ApiError::Stopping),
                // The hub keeps the sender as long as this watcher has its place.
                changed = self.watched.receiver.changed() => {
                    if changed.is_err() {
                        return Err(ApiError::Stopping);
                    }
                }
                () = wait => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use headway_domain::job::Phase;
    use tokio::time::timeout;

    use super::{
        super::table::{Hub, tests::view},
        *,
    };

    const MS: Duration = Duration::from_millis(1);

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

        fn follow(
            &self,
            interval: Duration,
        ) -> std::pin::Pin<Box<dyn Stream<Item = Result<Arc<JobView>, ApiError>> + Send>> {
            let watched = self.hub.watch(view(1, 1, Phase::Active)).unwrap();
            Box::pin(follow(watched, interval, self.stopping.clone()))
        }

        fn show(&self, revision: i64, phase: Phase) {
            let view = view(1, revision, phase);
            let uid = view.job.meta.uid;
            self.hub.read(uid, Some(view));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn states_between_two_messages_are_skipped() {
        let setup = Setup::new();
        let mut states = setup.follow(100 * MS);
        let started = Instant::now();
        assert_eq!(states.next().await.unwrap().unwrap().job.revision, 1);
        assert_eq!(
            started.elapsed(),
            Duration::ZERO,
            "the snapshot comes at once"
        );
        for revision in 2..=50 {
            setup.show(revision, Phase::Active);
        }
        assert_eq!(states.next().await.unwrap().unwrap().job.revision, 50);
        assert!(started.elapsed() >= 100 * MS);
        let idle = timeout(1000 * MS, states.next()).await;
        assert!(idle.is_err(), "nothing changed");
        setup.show(51, Phase::Active);
        let changed = Instant::now();
        assert_eq!(states.next().await.unwrap().unwrap().job.revision, 51);
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
        let next = tokio::spawn(async move {
            let last = states.next().await.unwrap().unwrap();
            (last.job.revision, states.next().await.is_none())
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
        setup.hub.read(view(1, 1, Phase::Active).job.meta.uid, None);
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
}
