//! Whether this process should be given work: false at first, true as soon as every dependency is
//! ready, false again only when a dependency has been away for a while or the process shuts down.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a dependency may be away before the process says that it does not serve.
pub const DEFAULT_DAMPING: Duration = Duration::from_secs(3);

/// The readiness of a process, judged from its named dependencies. Clones share one state.
///
/// Register every dependency before the first of them becomes ready, and run [`Readiness::run`] as
/// a background task: without it the state never leaves "not serving". A short absence of a
/// dependency changes nothing ("damped downwards"), because taking a process out of service costs
/// more than a few requests that wait or are tried again.
#[derive(Debug, Clone)]
pub struct Readiness {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    damping: Duration,
    /// Each dependency, and since when it is not ready (`None`: it is ready).
    absences: watch::Sender<BTreeMap<String, Option<Instant>>>,
    serving: watch::Sender<bool>,
}

impl Readiness {
    /// Not serving, without dependencies. `damping` is how long a dependency must be not ready
    /// without a break before serving ends; zero ends it at once.
    pub fn new(damping: Duration) -> Self {
        let (absences, _) = watch::channel(BTreeMap::new());
        let (serving, _) = watch::channel(false);
        Self {
            shared: Arc::new(Shared {
                damping,
                absences,
                serving,
            }),
        }
    }

    /// Registers a dependency, not ready at first. The same name gives a handle to the same one.
    pub fn dependency(&self, name: impl Into<String>) -> Dependency {
        let name = name.into();
        self.shared.absences.send_if_modified(|absences| {
            let before = absences.len();
            absences
                .entry(name.clone())
                .or_insert_with(|| Some(Instant::now()));
            absences.len() != before
        });
        Dependency {
            shared: Arc::clone(&self.shared),
            name,
        }
    }

    /// The state and its changes. Only the newest state is kept.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.shared.serving.subscribe()
    }

    /// Whether the process serves now.
    pub fn is_serving(&self) -> bool {
        *self.shared.serving.borrow()
    }

    /// The names of the dependencies that are not ready now, damped or not.
    pub fn missing(&self) -> Vec<String> {
        let absences = self.shared.absences.borrow();
        absences
            .iter()
            .filter(|(_, since)| since.is_some())
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Judges the state until `shutdown` is cancelled, and ends as not serving, so that whoever
    /// balances load stops sending before the drain.
    ///
    /// # Errors
    /// None; the result fits a supervised task.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        shutdown.run_until_cancelled(self.judge()).await;
        if self.shared.serving.send_replace(false) {
            tracing::info!("stopped serving");
        }
        Ok(())
    }

    async fn judge(&self) {
        let mut absences = self.shared.absences.subscribe();
        loop {
            let verdict = judge(
                &absences.borrow_and_update(),
                self.shared.damping,
                Instant::now(),
            );
            match verdict {
                Verdict::Serve => self.publish(true),
                Verdict::Refuse => self.publish(false),
                Verdict::KeepUntil(_) => {}
            }
            // A state that is false already has nothing to wait for but a change.
            let due = match verdict {
                Verdict::KeepUntil(due) if self.is_serving() => Some(due),
                _ => None,
            };
            let changed = absences.changed();
            let closed = match due {
                Some(due) => tokio::time::timeout_at(due, changed)
                    .await
                    .is_ok_and(|changed| changed.is_err()),
                None => changed.await.is_err(),
            };
            // The sender lives in `self`, so the channel stays open; this only avoids a busy loop.
            if closed {
                return;
            }
        }
    }

    fn publish(&self, serving: bool) {
        let changed = self
            .shared
            .serving
            .send_if_modified(|state| std::mem::replace(state, serving) != serving);
        if !changed {
            return;
        }
        if serving {
            tracing::info!("serving");
        } else {
            tracing::warn!(missing = ?self.missing(), "not serving");
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Serve,
    Refuse,
    /// Something is away, but not for long enough before this instant.
    KeepUntil(Instant),
}

fn judge(absences: &BTreeMap<String, Option<Instant>>, damping: Duration, now: Instant) -> Verdict {
    // A process that knows of no dependency yet has not come up yet.
    if absences.is_empty() {
        return Verdict::Refuse;
    }
    let Some(longest) = absences.values().flatten().min() else {
        return Verdict::Serve;
    };
    match longest.checked_add(damping) {
        Some(due) if due <= now => Verdict::Refuse,
        Some(due) => Verdict::KeepUntil(due),
        None => Verdict::KeepUntil(now + Duration::from_secs(86_400)),
    }
}

/// A handle with which the owner of a connection says whether it works. Clones mean the same one.
#[derive(Clone)]
pub struct Dependency {
    shared: Arc<Shared>,
    name: String,
}

impl Dependency {
    /// Says whether the dependency is ready. Saying the same again changes nothing, so an absence
    /// counts from when it was first reported.
    pub fn set(&self, ready: bool) {
        self.shared.absences.send_if_modified(|absences| {
            let since = absences
                .entry(self.name.clone())
                .or_insert_with(|| Some(Instant::now()));
            if since.is_none() == ready {
                return false;
            }
            *since = if ready { None } else { Some(Instant::now()) };
            true
        });
    }

    /// Probes the dependency every `interval` until `shutdown` is cancelled, and sets it by the
    /// result. A probe that takes longer than `timeout` is dropped and counts as a failure.
    ///
    /// # Errors
    /// None; the result fits a supervised task.
    pub async fn poll<Probe>(
        self,
        interval: Duration,
        timeout: Duration,
        shutdown: CancellationToken,
        mut probe: impl FnMut() -> Probe,
    ) -> anyhow::Result<()>
    where
        Probe: Future<Output = anyhow::Result<()>>,
    {
        let mut was_ready = true;
        let polling = async {
            loop {
                let failure = match tokio::time::timeout(timeout, probe()).await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(format!("{error:#}")),
                    Err(_) => Some(format!("no answer in {timeout:?}")),
                };
                let ready = failure.is_none();
                // One line a change, not one a probe.
                if was_ready && let Some(error) = failure {
                    tracing::warn!(dependency = %self.name, %error, "a dependency is not ready");
                }
                was_ready = ready;
                self.set(ready);
                tokio::time::sleep(interval).await;
            }
        };
        let _: Option<std::convert::Infallible> = shutdown.run_until_cancelled(polling).await;
        Ok(())
    }
}

impl fmt::Debug for Dependency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Dependency")
            .field(&self.name)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use crate::tasks;

    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::task::JoinHandle;
    use tokio::time::{sleep, timeout};

    const SECOND: Duration = Duration::from_secs(1);

    fn start(damping: Duration) -> (Readiness, CancellationToken, JoinHandle<anyhow::Result<()>>) {
        let readiness = Readiness::new(damping);
        let shutdown = CancellationToken::new();
        let task = tasks::spawn(readiness.clone().run(shutdown.clone()));
        (readiness, shutdown, task)
    }

    /// Waits for a state and says after how long it came.
    async fn becomes(serving: &mut watch::Receiver<bool>, state: bool) -> Duration {
        let started = Instant::now();
        timeout(
            Duration::from_secs(3600),
            serving.wait_for(|now| *now == state),
        )
        .await
        .unwrap()
        .unwrap();
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn serves_at_once_when_everything_is_ready_and_not_before() {
        let (readiness, _shutdown, _task) = start(DEFAULT_DAMPING);
        let mut serving = readiness.subscribe();
        sleep(SECOND).await;
        assert!(!*serving.borrow(), "no dependency is known yet");
        let (database, broker) = (
            readiness.dependency("database"),
            readiness.dependency("broker"),
        );
        database.set(true);
        sleep(60 * SECOND).await;
        assert!(!*serving.borrow());
        assert_eq!(readiness.missing(), ["broker"]);
        broker.set(true);
        assert_eq!(becomes(&mut serving, true).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_absence_is_not_seen() {
        let (readiness, _shutdown, _task) = start(DEFAULT_DAMPING);
        let database = readiness.dependency("database");
        let mut serving = readiness.subscribe();
        database.set(true);
        becomes(&mut serving, true).await;
        serving.mark_unchanged();
        for _ in 0..20 {
            database.set(false);
            sleep(2 * SECOND).await;
            database.set(true);
            sleep(Duration::from_millis(10)).await;
        }
        assert!(!serving.has_changed().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_absence_is_seen_after_the_damping_and_recovery_at_once() {
        let (readiness, _shutdown, _task) = start(DEFAULT_DAMPING);
        let (database, broker) = (
            readiness.dependency("database"),
            readiness.dependency("broker"),
        );
        let mut serving = readiness.subscribe();
        database.set(true);
        broker.set(true);
        becomes(&mut serving, true).await;

        database.set(false);
        sleep(SECOND).await;
        // Neither a repeated report nor another absence starts the clock again.
        database.set(false);
        broker.set(false);
        let waited = becomes(&mut serving, false).await;
        assert!(waited >= 2 * SECOND && waited < 3 * SECOND, "{waited:?}");

        database.set(true);
        sleep(SECOND).await;
        assert!(!*serving.borrow(), "the broker is still away");
        broker.set(true);
        assert_eq!(becomes(&mut serving, true).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_ends_serving_at_once() {
        let (readiness, shutdown, task) = start(DEFAULT_DAMPING);
        readiness.dependency("database").set(true);
        let mut serving = readiness.subscribe();
        becomes(&mut serving, true).await;
        shutdown.cancel();
        assert_eq!(becomes(&mut serving, false).await, Duration::ZERO);
        task.await.unwrap().unwrap();
        readiness.dependency("database").set(false);
        readiness.dependency("database").set(true);
        sleep(SECOND).await;
        assert!(!readiness.is_serving());
    }

    #[tokio::test(start_paused = true)]
    async fn without_damping_an_absence_is_seen_at_once() {
        let (readiness, _shutdown, _task) = start(Duration::ZERO);
        let database = readiness.dependency("database");
        let mut serving = readiness.subscribe();
        database.set(true);
        becomes(&mut serving, true).await;
        database.set(false);
        assert_eq!(becomes(&mut serving, false).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn polling_follows_the_probe_and_a_hanging_probe_is_a_failure() {
        let (readiness, shutdown, _task) = start(DEFAULT_DAMPING);
        let hangs = Arc::new(AtomicBool::new(false));
        let probe = {
            let hangs = Arc::clone(&hangs);
            move || {
                let hangs = hangs.load(Ordering::SeqCst);
                async move {
                    if hangs {
                        std::future::pending::<()>().await;
                    }
                    Ok(())
                }
            }
        };
        let polling = tasks::spawn(readiness.dependency("database").poll(
            SECOND,
            SECOND,
            shutdown.clone(),
            probe,
        ));
        let mut serving = readiness.subscribe();
        becomes(&mut serving, true).await;
        hangs.store(true, Ordering::SeqCst);
        let waited = becomes(&mut serving, false).await;
        assert!(waited >= 4 * SECOND && waited <= 6 * SECOND, "{waited:?}");
        hangs.store(false, Ordering::SeqCst);
        assert!(becomes(&mut serving, true).await <= 3 * SECOND);
        shutdown.cancel();
        polling.await.unwrap().unwrap();
    }
}
