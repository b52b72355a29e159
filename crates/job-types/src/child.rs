//! The process that runs schemas and programs: jobs from its standard input, under limits of its own.

use std::{
    io::{self, BufRead, Write},
    time::{Duration, Instant},
};

use rlimit::Resource;

use crate::evaluate::{Fault, Job};

/// The argument by which a program that is a parent of such processes becomes one.
pub const ARGUMENT: &str = "evaluate-job-type";
/// Address space of the process, in bytes.
const MEMORY: u64 = 512 * 1024 * 1024;
/// Processor time of the process, in seconds: more than [`BUSY`] and what its parent gives one job.
const SECONDS: u64 = 5;
/// A process that has worked for so long ends, and leaves what memory it may still hold.
const BUSY: Duration = Duration::from_secs(1);

/// Whether this process was started to be one.
pub fn is_meant(arguments: &[String]) -> bool {
    arguments
        .get(1)
        .is_some_and(|argument| argument == ARGUMENT)
        && arguments.len() == 2
}

/// Does what each line of the standard input says, and writes a line of what came of it. Ends with the input, or once it has
/// worked for a second in all. A process that exceeds its limits is ended by the system.
///
/// # Errors
/// When it cannot read, write or limit itself.
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
