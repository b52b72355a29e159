//! The command line client, in this process.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use headway_cli::{Console, ExitStatus, main_with};
use headway_runtime::tasks;
use headway_tests::Deployment;

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
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a command line: its status, standard output and standard error.
pub(crate) async fn headway(d: &Deployment, arguments: &[&str]) -> (ExitStatus, String, String) {
    let (stdout, stderr) = (Written::default(), Written::default());
    let mut console = Console::captured(stdout.clone(), stderr.clone())
        .with_variable("HEADWAY_SERVER", format!("http://{}", d.address()));
    let line = std::iter::once("headway").chain(arguments.iter().copied());
    let line: Vec<String> = line.map(str::to_owned).collect();
    let run = tasks::spawn(async move { main_with(line, &mut console).await });
    let status = run.await.expect("the command does not panic");
    (status, stdout.text(), stderr.text())
}

/// Words of a line of the documentation, some of them in single quotes.
pub(crate) fn words(line: &str) -> Vec<&str> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(number, part)| match number % 2 {
            0 => part.split_whitespace().collect(),
            _ => vec![part],
        })
        .collect()
}
