//! A program of this workspace as it is shipped, in a process of its own, with its log.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::process::{Child, Command};

use crate::{PATIENCE, until};

/// A running program. It is killed when this is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Where the program is: beside the one of the tests, which cargo builds.
    ///
    /// # Panics
    /// When it was not built.
    pub fn path(tests: &str, name: &str) -> PathBuf {
        let path = Path::new(tests).with_file_name(name);
        assert!(
            path.is_file(),
            "build the programs first: cargo build --workspace --bins ({})",
            path.display()
        );
        path
    }

    /// Starts a command. What it writes goes to a file in this folder.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(command: &mut Command, folder: &Path) -> Self {
        let log = folder.join("log");
        let file = std::fs::File::create(&log).expect("a log");
        let both = file.try_clone().expect("a second handle");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(both)
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        Self { child, log }
    }

    /// The number of its process.
    ///
    /// # Panics
    /// When it has ended.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// What it has written.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub fn log(&self) -> String {
        let text = std::fs::read(&self.log).expect("a log");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Waits until a line of its log has this text; the line.
    ///
    /// # Panics
    /// When none comes.
    pub async fn logged(&self, text: &str) -> String {
        let what = format!("the log to say `{text}`");
        until(&what, PATIENCE, || async {
            let log = self.log();
            let line = log.lines().find(|line| line.contains(text));
            line.map(str::to_owned)
        })
        .await
    }

    /// Sends it SIGTERM and waits until it ends.
    ///
    /// # Panics
    /// When it does not end within this time.
    pub async fn terminate(mut self, within: Duration) -> ExitStatus {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", "TERM", &pid]).status();
        assert!(sent.await.expect("kill").success());
        let ended = tokio::time::timeout(within, self.child.wait()).await;
        let Ok(status) = ended else {
            panic!("it does not end:\n{}", self.log());
        };
        status.expect("a status")
    }
}
