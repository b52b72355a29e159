//! The process that runs schemas and programs: one [`crate::evaluate`] job from its standard input, under limits of its own.

use std::io::{self, Read, Write};

use rlimit::Resource;

use crate::evaluate::{Fault, Job};

/// The argument by which a program that is a parent of such processes becomes one.
pub const ARGUMENT: &str = "evaluate-job-type";
/// Address space of the process, in bytes.
const MEMORY: u64 = 512 * 1024 * 1024;
/// Processor time of the process, in seconds.
const SECONDS: u64 = 5;

/// Whether this process was started to be one.
pub fn is_meant(arguments: &[String]) -> bool {
    arguments
        .get(1)
        .is_some_and(|argument| argument == ARGUMENT)
        && arguments.len() == 2
}

/// Does what the standard input says, and writes what came of it. A process that exceeds its limits is ended by the system.
///
/// # Errors
/// When it cannot read, write or limit itself.
pub fn run() -> io::Result<()> {
    for (resource, most) in [(Resource::AS, MEMORY), (Resource::CPU, SECONDS)] {
        rlimit::setrlimit(resource, most, most)?;
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    let job: Job = serde_json::from_str(&text).map_err(io::Error::other)?;
    let result: Result<_, Fault> = job.run();
    let text = serde_json::to_string(&result).map_err(io::Error::other)?;
    io::stdout().write_all(text.as_bytes())
}
