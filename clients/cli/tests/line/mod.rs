//! Runs whole command lines in process.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use headway_cli::{Console, ExitStatus, Screen, main_with};
use headway_runtime::tasks;

use crate::fake::Fake;

/// What was written to one of the streams.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a command line against a server: its status, standard output and standard error.
pub(crate) async fn headway(
    server: Option<SocketAddr>,
    arguments: &[&str],
    screen: Option<Screen>,
) -> (ExitStatus, String, String) {
    let (stdout, stderr) = (Written::default(), Written::default());
    let mut console = Console::captured(stdout.clone(), stderr.clone());
    if let Some(server) = server {
        console = console.with_variable("HEADWAY_SERVER", format!("http://{server}"));
    }
    if let Some(screen) = screen {
        console = console.with_screen(screen);
    }
    let line: Vec<String> = std::iter::once("headway")
        .chain(arguments.iter().copied())
        .map(str::to_owned)
        .collect();
    // On a task of its own: callers need the future to be `Send`.
    let run = tasks::spawn(async move { main_with(line, &mut console).await });
    let status = run.await.expect("the command does not panic");
    (status, stdout.text(), stderr.text())
}

/// Runs a command line against a scripted server.
pub(crate) async fn run(fake: &Fake, arguments: &[&str]) -> (ExitStatus, String, String) {
    let server = fake.serve().await.expect("a free port");
    headway(Some(server), arguments, None).await
}
