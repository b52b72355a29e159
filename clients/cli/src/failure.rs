//! How a command fails: what happened, the details, what to do next, and the exit status.

use std::{fmt, io, process::ExitCode};

use headway_client::{Code, Error, NameError};

use crate::output::human::{clean, duration};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// What was asked for was done; a job that was waited for completed.
    Completed,
    /// A job that was waited for failed or was cancelled, or the server refused the call.
    Failed,
    /// The arguments, a file, or the request's fields are wrong.
    Usage,
    /// The server could not be reached or does not work.
    Unreachable,
}

impl From<ExitStatus> for u8 {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Completed => 0,
            ExitStatus::Failed => 1,
            ExitStatus::Usage => 2,
            ExitStatus::Unreachable => 3,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(u8::from(status))
    }
}

/// Why a command could not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments or a file are wrong.
    Usage {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A call failed.
    Api {
        /// What was tried, such as `job a could not be read`.
        what: String,
        /// Which server was asked.
        server: String,
        /// In which partition.
        partition: String,
        error: Box<Error>,
    },
    /// The output could not be written.
    Output(io::Error),
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: None,
        }
    }

    /// The same failure with what to do about it.
    pub(crate) fn hint(self, text: impl Into<String>) -> Self {
        match self {
            Self::Usage { message, .. } => Self::Usage {
                message,
                hint: Some(text.into()),
            },
            other => other,
        }
    }

    pub(crate) fn status(&self) -> ExitStatus {
        match self {
            Self::Usage { .. } => ExitStatus::Usage,
            // The reader of a pipe has seen enough, as `head` does.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                ExitStatus::Completed
            }
            Self::Output(_) => ExitStatus::Failed,
            Self::Api { error, .. } if error.is_unreachable() => ExitStatus::Unreachable,
            Self::Api { error, .. } if error.code() == Code::InvalidArgument => ExitStatus::Usage,
            Self::Api { .. } => ExitStatus::Failed,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::usage(error.to_string())
            .hint("a job is named by its id, or as partitions/PARTITION/jobs/JOB")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage { message, hint } => {
                writeln!(f, "error: {}", message.trim_end())?;
                match hint {
                    Some(hint) => writeln!(f, "hint: {hint}"),
                    None => Ok(()),
                }
            }
            // The reader of a pipe has left: there is nobody to tell.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Self::Output(error) => writeln!(f, "error: output could not be written: {error}"),
            Self::Api {
                what,
                server,
                partition,
                error,
            } => {
                writeln!(f, "error: {what}: {}", clean(error.message()))?;
                write_details(f, error)?;
                match next_step(error, server, partition) {
                    Some(hint) => writeln!(f, "hint: {hint}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// The `google.rpc` details, one to a line.
fn write_details(f: &mut fmt::Formatter<'_>, error: &Error) -> fmt::Result {
    // One value may be wrong in several fields, such as a retention for all states: its sentence is
    // told once.
    let mut told: Vec<(String, Vec<String>)> = Vec::new();
    for violation in error.field_violations() {
        let (field, text) = (clean(&violation.field), clean(&violation.description));
        match told.iter_mut().find(|(other, _)| *other == text) {
            Some((_, fields)) => fields.push(field),
            None => told.push((text, vec![field])),
        }
    }
    for (text, fields) in told {
        let word = if fields.len() > 1 { "fields" } else { "field" };
        writeln!(f, "  {word} {}: {text}", fields.join(", "))?;
    }
    for violation in error.precondition_violations() {
        let (subject, text) = (clean(&violation.subject), clean(&violation.description));
        writeln!(
            f,
            "  precondition {} of {subject}: {text}",
            clean(&violation.r#type)
        )?;
    }
    if let Some(resource) = error.resource_info() {
        let (name, text) = (clean(&resource.resource_name), clean(&resource.description));
        match text.is_empty() {
            true => writeln!(f, "  resource {name}")?,
            false => writeln!(f, "  resource {name}: {text}")?,
        }
    }
    match error.reason() {
        Some(reason) => writeln!(f, "  code {} ({})", error.code_name(), clean(reason)),
        None => writeln!(f, "  code {}", error.code_name()),
    }
}

/// What the user may do about an error.
fn next_step(error: &Error, server: &str, partition: &str) -> Option<String> {
    if error.is_client_side() {
        return Some(
            "give the address with --server or HEADWAY_SERVER, such as http://127.0.0.1:6420"
                .to_owned(),
        );
    }
    if error.is_unreachable() {
        return Some(match error.code() {
            Code::DeadlineExceeded => {
                format!("{server} is slow or stuck; try again with a longer --timeout")
            }
            _ if server.starts_with("https://") => format!(
                "is the server at {server} running, and does this system trust the authority of its certificate? name another authority with --ca-file"
            ),
            _ => format!(
                "is the server at {server} running? start it, or name another with --server or HEADWAY_SERVER"
            ),
        });
    }
    let hint = match error.code() {
        Code::InvalidArgument | Code::OutOfRange => match error.field_violations() {
            [] => "`headway COMMAND --help` lists what is accepted".to_owned(),
            _ => "correct these fields and try again; `headway COMMAND --help` lists the flags".to_owned(),
        },
        Code::NotFound => format!(
            "`headway ls -p {partition}` lists the jobs of partition {partition}; -p chooses another"
        ),
        Code::AlreadyExists => {
            "choose another --id, or look at the present job with `headway get`".to_owned()
        }
        Code::FailedPrecondition => {
            "`headway get` shows the job's state; pause, resume and cancel need a job that has not ended; retry needs a settled job that failed or was cancelled".to_owned()
        }
        Code::ResourceExhausted | Code::Aborted => match error.retry_delay() {
            Some(delay) => format!("try again in {}", duration(delay.as_secs_f64())),
            None => "try again later, or ask for less".to_owned(),
        },
        Code::Unauthenticated | Code::PermissionDenied => {
            format!("you may not do this in partition {partition}; ask the operator of {server}")
        }
        Code::Unimplemented => {
            format!("{server} does not know this call: is it a Headway server of this version?")
        }
        Code::Internal | Code::Unknown | Code::DataLoss => {
            format!("this is a fault of the server; its log has more ({server})")
        }
        Code::DeadlineExceeded | Code::Cancelled | Code::Unavailable => {
            "try again, perhaps with a longer --timeout".to_owned()
        }
        Code::Ok => return None,
    };
    Some(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_their_numbers() {
        let all = [
            ExitStatus::Completed,
            ExitStatus::Failed,
            ExitStatus::Usage,
            ExitStatus::Unreachable,
        ];
        assert_eq!(all.map(u8::from), [0, 1, 2, 3]);
    }

    #[test]
    fn a_closed_pipe_is_silent() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.to_string(), "");
        assert_eq!(failure.status(), ExitStatus::Completed);
    }

    #[test]
    fn usage_says_what_to_do() {
        let failure = Failure::usage("no pipe was given").hint("add --pipe");
        assert_eq!(
            failure.to_string(),
            "error: no pipe was given\nhint: add --pipe\n"
        );
    }
}
