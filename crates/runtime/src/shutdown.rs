//! The process's signals: the first asks for a clean end, the second ends the process at once.

use std::{io, process::ExitCode, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::tasks;

/// How long threads may take to end once the main future has.
const THREADS_GRACE: Duration = Duration::from_secs(1);

/// Runs the main future of a process and gives its exit status, without waiting for threads that
/// block: one that reads from a file system which does not answer must not keep the process from
/// ending. What such a thread does is lost, as in a crash.
pub fn run(main: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the threads of this process: {error}");
            return ExitCode::FAILURE;
        }
    };
    let status = runtime.block_on(main);
    runtime.shutdown_timeout(THREADS_GRACE);
    status
}

/// A token that SIGINT or SIGTERM (Ctrl-C where there are no signals) cancels. A second signal of
/// either kind ends the process with the status a shell gives for it (130 or 143), without
/// running destructors: whatever was going on must survive a crash anyhow.
///
/// Call it once, from the `main` of a process; everything below `main` takes a token as a
/// parameter. The handlers are in place when it returns.
///
/// # Errors
/// Where the operating system refuses a handler.
///
/// # Panics
/// Outside a tokio runtime.
pub fn on_signals() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut signals = Signals::new()?;
    let cancelled = token.clone();
    // The one task that no supervisor owns: it has to outlive every drain, and ends with the
    // process.
    tasks::spawn(async move {
        let name = signals.next().await.name();
        tracing::info!(signal = name, "shutting down");
        cancelled.cancel();
        let second = signals.next().await;
        tracing::warn!(signal = second.name(), "second signal, ending at once");
        #[expect(
            clippy::disallowed_methods,
            reason = "whoever signals twice wants no drain, and nothing may hold this end up"
        )]
        std::process::exit(second.status());
    });
    Ok(token)
}

#[derive(Debug, Clone, Copy)]
enum Signal {
    Interrupt,
    #[cfg(unix)]
    Terminate,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            #[cfg(unix)]
            Self::Terminate => "SIGTERM",
        }
    }

    /// 128 plus the signal's number, as shells report a process that a signal ended.
    fn status(self) -> i32 {
        match self {
            Self::Interrupt => 130,
            #[cfg(unix)]
            Self::Terminate => 143,
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Signal {
        // `None` would mean that no further signal can be received: then this branch waits for
        // ever.
        tokio::select! {
            Some(()) = self.interrupt.recv() => Signal::Interrupt,
            Some(()) = self.terminate.recv() => Signal::Terminate,
            else => std::future::pending().await,
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> Signal {
        match self.0.recv().await {
            Some(()) => Signal::Interrupt,
            None => std::future::pending().await,
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;
    use std::time::Duration;
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::process::{Child, Command};

    const CHILD: &str = "HEADWAY_TEST_SHUTDOWN_CHILD";

    /// Not a test of its own: the process that the other tests send signals to.
    #[tokio::test]
    #[ignore = "runs only as the child process of the tests below"]
    async fn child() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let token = on_signals().unwrap();
        eprintln!("ready");
        token.cancelled().await;
        eprintln!("cancelled");
        std::future::pending::<()>().await;
    }

    async fn signal(child: &Child, name: &str) {
        let id = child.id().unwrap().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &id])
                .status()
                .await
                .unwrap()
                .success()
        );
    }

    fn start(test: &str, value: &std::ffi::OsStr) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--ignored", "--nocapture"])
            .env(CHILD, value)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    async fn two_signals(first: &str, second: &str) -> Option<i32> {
        let mut child = start("shutdown::tests::child", "1".as_ref());
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ready"));
        signal(&child, first).await;
        assert_eq!(
            lines.next_line().await.unwrap().as_deref(),
            Some("cancelled")
        );
        assert!(
            child.try_wait().unwrap().is_none(),
            "the first signal must not end the process"
        );
        signal(&child, second).await;
        child.wait().await.unwrap().code()
    }

    /// Not a test of its own: a process with a thread that never comes back.
    #[test]
    #[ignore = "runs only as the child process of the test below"]
    fn blocked_child() {
        let Some(pipe) = std::env::var_os(CHILD) else {
            return;
        };
        run(async {
            let token = on_signals().unwrap();
            tokio::task::spawn_blocking(move || std::fs::File::open(pipe));
            eprintln!("ready");
            token.cancelled().await;
            ExitCode::SUCCESS
        });
    }

    #[tokio::test]
    async fn a_thread_that_blocks_does_not_keep_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status().await.unwrap();
        assert!(made.success());
        let mut child = start("shutdown::tests::blocked_child", pipe.as_os_str());
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ready"));
        signal(&child, "TERM").await;
        let ended = tokio::time::timeout(Duration::from_secs(20), child.wait()).await;
        assert_eq!(ended.unwrap().unwrap().code(), Some(0));
    }

    #[tokio::test]
    async fn the_first_signal_cancels_and_the_second_ends_the_process() {
        let limit = Duration::from_secs(20);
        assert_eq!(
            tokio::time::timeout(limit, two_signals("TERM", "TERM")).await,
            Ok(Some(143))
        );
        assert_eq!(
            tokio::time::timeout(limit, two_signals("TERM", "INT")).await,
            Ok(Some(130))
        );
        assert_eq!(
            tokio::time::timeout(limit, two_signals("INT", "TERM")).await,
            Ok(Some(143))
        );
    }
}
