//! Keeps the processes that run schemas and programs.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value as Json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Semaphore,
};

use crate::{
    child,
    definition::Definition,
    evaluate::{Fault, Input, Job},
};

/// The most processes at the same time.
const PROCESSES: usize = 4;
/// The longest time for one piece of work.
const TIME: Duration = Duration::from_secs(3);
/// The largest output, in bytes: a spec has at most 3 MiB.
const OUTPUT: u64 = 4 * 1024 * 1024;

/// Runs schemas and programs in processes of their own. Clones share the processes.
#[derive(Debug, Clone)]
pub struct Evaluator {
    program: PathBuf,
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Process>>>,
}

/// One of the processes. Dropping it kills the process.
#[derive(Debug)]
struct Process {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Evaluator {
    /// Runs this executable, which calls [`child::run`] if [`child::is_meant`] says so.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            turns: Arc::new(Semaphore::new(PROCESSES)),
            idle: Arc::default(),
        }
    }

    /// Runs the present executable.
    ///
    /// # Errors
    /// If its path is unknown.
    pub fn this() -> io::Result<Self> {
        Ok(Self::new(std::env::current_exe()?))
    }

    /// Checks the schema and the program of a definition.
    ///
    /// # Errors
    /// What is wrong with them.
    pub async fn check(&self, definition: &Definition) -> Result<(), Fault> {
        self.run(&Job {
            schema: definition.parameters.clone(),
            program: definition.program.clone(),
            input: None,
        })
        .await
        .map(|_| ())
    }

    /// Checks parameters against the schema of a definition, and lets its program build work from
    /// them.
    ///
    /// # Errors
    /// What is wrong with either.
    pub async fn build(&self, definition: &Definition, input: Input) -> Result<Json, Fault> {
        self.run(&Job {
            schema: definition.parameters.clone(),
            program: definition.program.clone(),
            input: Some(input),
        })
        .await
    }

    async fn run(&self, job: &Job) -> Result<Json, Fault> {
        let Ok(_turn) = self.turns.acquire().await else {
            return Err(Fault::Unavailable);
        };
        match tokio::time::timeout(TIME, self.ask(job)).await {
            Ok(Ok(Some(result))) => result,
            // Its limits end a process by a signal, or by an allocation that fails. A process that
            // takes too long is killed when its future is dropped.
            Ok(Ok(None)) | Err(_) => Err(Fault::TooMuch),
            Ok(Err(error)) => {
                tracing::error!(%error, program = %self.program.display(), "cannot run the evaluator of job types; the call fails");
                Err(Fault::Unavailable)
            }
        }
    }

    /// The answer of a process, or `None` if it ended without one.
    async fn ask(&self, job: &Job) -> io::Result<Option<Result<Json, Fault>>> {
        let mut line = serde_json::to_vec(job).map_err(io::Error::other)?;
        line.push(b'\n');
        let waiting = self.lock().pop();
        if let Some(process) = waiting {
            let answer = self.ask_one(process, &line).await?;
            // Without an answer the process may have ended before it got the question, because it
            // had worked long enough.
            if answer.is_some() {
                return Ok(answer);
            }
        }
        self.ask_one(Process::start(&self.program)?, &line).await
    }

    async fn ask_one(
        &self,
        mut process: Process,
        line: &[u8],
    ) -> io::Result<Option<Result<Json, Fault>>> {
        let Some(answer) = process.ask(line).await? else {
            return Ok(None);
        };
        if answer.len() as u64 > OUTPUT {
            return Ok(Some(Err(Fault::TooMuch)));
        }
        let result = serde_json::from_slice(&answer).map_err(io::Error::other)?;
        self.lock().push(process);
        Ok(Some(result))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Process>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    fn start(program: &Path) -> io::Result<Self> {
        let mut child = Command::new(program)
            .arg(child::ARGUMENT)
            // Programs could read the environment.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => Ok(Self {
                _child: child,
                input,
                output: BufReader::new(output),
            }),
            _ => Err(io::Error::other("no pipes to the process")),
        }
    }

    /// The answer to a line, cut above [`OUTPUT`]; `None` if the process ends first.
    async fn ask(&mut self, line: &[u8]) -> io::Result<Option<Vec<u8>>> {
        if self.input.write_all(line).await.is_err() || self.input.flush().await.is_err() {
            return Ok(None);
        }
        let mut answer = Vec::new();
        let mut output = (&mut self.output).take(OUTPUT + 1);
        output.read_until(b'\n', &mut answer).await?;
        let is_whole = answer.last() == Some(&b'\n') || answer.len() as u64 > OUTPUT;
        Ok(is_whole.then_some(answer))
    }
}
