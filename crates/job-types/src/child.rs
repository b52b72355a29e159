//! The child process that runs schemas and programs. It reads work from its standard input and has
//! limits of its own.

use std::{
    io::{self, BufRead, Write},
    time::{Duration, Instant},
};

use rlimit::Resource;

use crate::evaluate::{Fault, Job};

/// The argument that makes the parent's executable such a process.
pub const ARGUMENT: &str = "evaluate-job-type";
/// Address space of the process, in bytes.
const MEMORY: u64 = 512 * 1024 * 1024;
/// The most processor time of the process, in seconds: more than [`BUSY`] plus what its parent
/// gives one piece of work.
const SECONDS: u64 = 5;
/// A process ends after this much work, and frees what memory it may still hold.
const BUSY: Duration = Duration::from_secs(1);

/// Whether this process was started as such a child.
pub fn is_meant(arguments: &[String]) -> bool {
    arguments
        .get(1)
        .is_some_and(|argument| argument == ARGUMENT)
        && arguments.len() == 2
}

/// Does the work of each line of the standard input, and writes a line with the result. Ends with
/// the input, or once it has worked for a second in all. The system ends a process that exceeds its
/// limits.
///
/// # Errors
/// If it cannot read, write or limit itself.
pub fn run() -> io::Result<()> {
    for (resource, most) in [(Resource::AS, MEMORY), (Resource::CPU, SECONDS)] {
        rlimit::setrlimit(resource, most, most)?;
    }
    let mut output = io::stdout().lock();
    let mut busy = Duration::ZERO;
    for line in io::stdin().lock().lines() {
        let began = Instant::now();
        let job: Job = serde_json::from_str(&line?).map_err(io::Error::other)?;
        let result: Result<_, Fault> = job.run();
        serde_json::to_writer(&mut output, &result).map_err(io::Error::other)?;
        output.write_all(b"\n")?;
        output.flush()?;
        busy += began.elapsed();
        if busy > BUSY {
            break;
        }
    }
    Ok(())
}
