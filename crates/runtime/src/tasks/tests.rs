//! What the ends of tasks mean, with tokio's clock paused.

use super::*;
use std::future::pending;
use std::sync::atomic::AtomicBool;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(10);

fn supervisor() -> Supervisor {
    Supervisor::new(CancellationToken::new())
}

/// Ends when told, a little later, as a draining consumer does.
async fn draining(shutdown: CancellationToken) -> anyhow::Result<()> {
    shutdown.cancelled().await;
    sleep(SECOND).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_what_drains_and_aborts_what_need_not() {
    let supervisor = supervisor();
    let token = supervisor.shutdown().clone();
    supervisor.spawn(TaskKind::Service, "consumer", draining(token.clone()));
    supervisor.spawn(TaskKind::Loop, "sweeper", pending());
    let started = Instant::now();
    let (joined, ()) = tokio::join!(supervisor.join(DEADLINE), async {
        sleep(5 * SECOND).await;
        token.cancel();
    });
    joined.unwrap();
    assert_eq!(started.elapsed(), 6 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_stops_the_process_and_is_returned() {
    let supervisor = supervisor();
    let token = supervisor.shutdown().clone();
    supervisor.spawn(TaskKind::Service, "listener", async {
        sleep(SECOND).await;
        anyhow::bail!("the port is taken")
    });
    supervisor.spawn(TaskKind::Service, "follower", async move {
        token.cancelled().await;
        anyhow::bail!("the listener is gone")
    });
    let error = supervisor.join(DEADLINE).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "task `listener` failed: the port is taken"
    );
    assert!(supervisor.shutdown().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_an_early_end_are_failures() {
    for kind in [TaskKind::Service, TaskKind::Loop] {
        let supervisor = supervisor();
        supervisor.spawn(kind, "short", async { Ok(()) });
        let joined = supervisor.join(DEADLINE).await;
        let early = matches!(&joined, Err(error) if matches!(&error.failure, Some(TaskFailure { end: FailedEnd::Early, .. })));
        assert!(early, "{kind:?}: {joined:?}");
    }
    for kind in [TaskKind::Service, TaskKind::Loop] {
        let supervisor = supervisor();
        supervisor.spawn(kind, "broken", async { panic!("at {}", 7) });
        let error = supervisor.join(DEADLINE).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "task `broken` panicked: at 7",
            "{kind:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_misses_the_deadline_is_named_and_dropped() {
    struct SetOnDrop(Arc<AtomicBool>);
    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let dropped = Arc::new(AtomicBool::new(false));
    let guard = SetOnDrop(Arc::clone(&dropped));
    let supervisor = supervisor();
    let token = supervisor.shutdown().clone();
    supervisor.spawn(TaskKind::Service, "stuck", async move {
        let _guard = guard;
        pending().await
    });
    supervisor.spawn(TaskKind::Service, "consumer", draining(token.clone()));
    supervisor.spawn(TaskKind::Service, "stubborn", pending());
    token.cancel();
    let started = Instant::now();
    let error = supervisor.join(DEADLINE).await.unwrap_err();
    assert!(error.failure.is_none());
    assert_eq!(error.overdue, ["stuck", "stubborn"]);
    assert_eq!(
        error.to_string(),
        "tasks that did not end in time: stuck, stubborn"
    );
    assert!(dropped.load(Ordering::SeqCst));
    assert!(started.elapsed() < DEADLINE + SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_draining_is_not_lost() {
    let supervisor = supervisor();
    let token = supervisor.shutdown().clone();
    supervisor.spawn(TaskKind::Service, "consumer", async move {
        token.cancelled().await;
        anyhow::bail!("two confirms are missing")
    });
    supervisor.shutdown().cancel();
    let error = supervisor.join(DEADLINE).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "task `consumer` failed: two confirms are missing"
    );
}

#[tokio::test(start_paused = true)]
async fn tasks_can_start_tasks_and_late_ones_end_too() {
    let supervisor = supervisor();
    let inner = supervisor.clone();
    supervisor.spawn(TaskKind::Service, "loader", async move {
        inner.spawn(
            TaskKind::Service,
            "consumer",
            draining(inner.shutdown().clone()),
        );
        Ok(())
    });
    supervisor.shutdown().cancel();
    supervisor.spawn(TaskKind::Loop, "late", pending());
    supervisor.join(DEADLINE).await.unwrap();
}

#[tokio::test]
async fn without_tasks_there_is_nothing_to_wait_for() {
    supervisor().join(DEADLINE).await.unwrap();
}

/// Lines of a log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_nobody_waits_for_is_in_the_log_and_one_awaited_is_also_returned() {
    let lines = Lines::default();
    let written = lines.clone();
    let log = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || written.clone())
        .finish();
    let _log = tracing::subscriber::set_default(log);
    assert_eq!(spawn(async { 7 }).await.unwrap(), 7);
    assert!(lock(&lines.0).is_empty());
    let error = spawn(async { panic!("at {}", 7) }).await.unwrap_err();
    assert!(error.is_panic());
    let text = String::from_utf8(lock(&lines.0).clone()).unwrap();
    assert!(text.contains("a task panicked"), "{text}");
    assert!(text.contains("at 7"), "{text}");
    assert!(text.contains(file!()), "{text}");
}
