//! Starts the processes that run schemas and programs.

use std::{path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    sync::Semaphore,
};

use crate::{
    child,
    definition::Definition,
    evaluate::{Fault, Input, Job},
};

/// Processes at once.
const PROCESSES: usize = 4;
/// How long one may take.
const TIME: Duration = Duration::from_secs(3);
/// The largest output, in bytes: a spec has at most 3 MiB.
const OUTPUT: u64 = 4 * 1024 * 1024;

/// Runs schemas and programs in processes of their own; clones share how many run at once.
#[derive(Debug, Clone)]
pub struct Evaluator {
    program: PathBuf,
    turns: Arc<Semaphore>,
}

impl Evaluator {
    /// Runs this executable, which calls [`child::run`] where [`child::is_meant`] says so.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            turns: Arc::new(Semaphore::new(PROCESSES)),
        }
    }

    /// Runs the present executable.
    ///
    /// # Errors
    /// When it is not known.
    pub fn this() -> std::io::Result<Self> {
        Ok(Self::new(std::env::current_exe()?))
    }

    /// Looks at the schema and the program of a definition.
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

    /// Holds parameters to the schema of a definition, and lets its program build work of them.
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
            Ok(Ok(result)) => result,
            Ok(Err(error)) => {
                tracing::error!(%error, program = %self.program.display(), "a job type cannot be evaluated");
                Err(Fault::Unavailable)
            }
            // The process is killed with what waits for it.
            Err(_) => Err(Fault::TooMuch),
        }
    }

    async fn ask(&self, job: &Job) -> std::io::Result<Result<Json, Fault>> {
        let text = serde_json::to_vec(job).map_err(std::io::Error::other)?;
        let mut process = Command::new(&self.program)
            .arg(child::ARGUMENT)
            // Programs could read it.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let (Some(mut input), Some(output)) = (input, output) else {
            return Err(std::io::Error::other("no pipes to the process"));
        };
        let send = async move {
            // A process that ended early tells why by its status.
            let _ = input.write_all(&text).await;
            let _ = input.shutdown().await;
        };
        let mut answer = Vec::new();
        let mut output = output.take(OUTPUT + 1);
        let (read, ()) = tokio::join!(output.read_to_end(&mut answer), send);
        read?;
        if answer.len() as u64 > OUTPUT {
            return Ok(Err(Fault::TooMuch));
        }
        let status = process.wait().await?;
        if !status.success() {
            // Its limits end it by a signal, or by an allocation that fails.
            return Ok(Err(Fault::TooMuch));
        }
        serde_json::from_slice(&answer).map_err(std::io::Error::other)
    }
}
