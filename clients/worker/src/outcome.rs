//! How a handler ends an item: an [`Outcome`] or a [`TaskError`].
//!
//! What does not live here: how outcomes are reported (see `report`).

use std::error::Error;
use std::fmt;

use bytes::Bytes;

use crate::text;

/// The codes that the SDK itself gives to failures.
pub mod code {
    /// An error without a code of its own.
    pub const ERROR: &str = "ERROR";
    /// The handler panicked.
    pub const PANIC: &str = "PANIC";
    /// The try took longer than the job's item timeout.
    pub const TIMEOUT: &str = "TIMEOUT";
    /// The payload cannot be decoded.
    pub const BAD_PAYLOAD: &str = "BAD_PAYLOAD";
    /// The handler's outcome breaks a bound: a forward to a pipe that cannot exist, or too large a
    /// payload.
    pub const BAD_OUTCOME: &str = "BAD_OUTCOME";
    /// The item was done, but its job's result pipe does not take the result: it is full, or the
    /// broker has lost it.
    pub const RESULT_UNDELIVERED: &str = "RESULT_UNDELIVERED";
}

/// How an item ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome(pub(crate) Ending);

/// The kinds of [`Outcome`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    Done,
    DoneWithResult {
        payload: Bytes,
        content_type: String,
    },
    Forward {
        pipe: String,
        task_type: String,
        payload: Bytes,
        content_type: String,
    },
}

impl Outcome {
    /// The item is done.
    pub fn done() -> Self {
        Self(Ending::Done)
    }

    /// The item is done and has a result, at most 1 MiB. It is sent to the job's result pipe before
    /// the item counts as done, so a consumer of that pipe may see it more than once, but never
    /// misses it. Without a result pipe it is dropped.
    pub fn done_with_result(payload: impl Into<Bytes>, content_type: impl Into<String>) -> Self {
        Self(Ending::DoneWithResult {
            payload: payload.into(),
            content_type: content_type.into(),
        })
    }

    /// The item goes on to another pipe as the next stage of the same tracked item. A pipe name
    /// that is not 1 to 128 bytes of ASCII letters, digits, `_ - .`, or a payload above 1 MiB,
    /// fails the item for good.
    pub fn forward(
        pipe: impl Into<String>,
        task_type: impl Into<String>,
        payload: impl Into<Bytes>,
        content_type: impl Into<String>,
    ) -> Self {
        Self(Ending::Forward {
            pipe: pipe.into(),
            task_type: task_type.into(),
            payload: payload.into(),
            content_type: content_type.into(),
        })
    }

    /// Checks the bounds of what leaves the worker.
    pub(crate) fn checked(self) -> Result<Ending, TaskError> {
        let refuse = |message: String| Err(TaskError::fatal(code::BAD_OUTCOME, message));
        let (payload, content_type) = match &self.0 {
            Ending::Done => return Ok(self.0),
            Ending::DoneWithResult {
                payload,
                content_type,
            } => (payload, content_type),
            Ending::Forward {
                pipe,
                task_type,
                payload,
                content_type,
            } => {
                if !text::is_target_pipe(pipe) {
                    return refuse(format!(
                        "the forward names the pipe {pipe:?}; pipes have 1 to 128 ASCII letters, digits, _ - . and do not begin with headway."
                    ));
                }
                if task_type.len() > text::MAX_TYPE_BYTES || task_type.contains('\0') {
                    return refuse(
                        "the forward's task type is longer than 256 bytes or has U+0000".into(),
                    );
                }
                (payload, content_type)
            }
        };
        if payload.len() > text::MAX_PAYLOAD_BYTES {
            return refuse(format!(
                "the outcome's payload has {} bytes; at most 1 MiB is allowed",
                payload.len()
            ));
        }
        if content_type.len() > text::MAX_NAME_BYTES || content_type.contains('\0') {
            return refuse(
                "the outcome's media type is longer than 128 bytes or has U+0000".into(),
            );
        }
        Ok(self.0)
    }
}

/// How a try of an item failed.
///
/// Anything that is a `std::error::Error`, also an `anyhow::Error`, a string or a boxed error,
/// becomes a retryable failure with code `ERROR` by `?`. For that reason `TaskError` is itself no
/// `std::error::Error`.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskError {
    pub(crate) retryable: bool,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) details: String,
}

impl TaskError {
    /// A failure that may pass: the item is tried again under the job's retry policy. `code` is a
    /// word for programs (cut at 128 bytes), `message` a sentence for people (cut at 4096 bytes).
    pub fn retryable(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(true, code.into(), message.into())
    }

    /// A failure that trying again cannot help: the item ends failed at once.
    pub fn fatal(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(false, code.into(), message.into())
    }

    /// Adds details, usually JSON; cut at 16 KiB.
    pub fn details(self, details: impl Into<String>) -> Self {
        Self {
            details: text::clean(details.into(), text::MAX_DETAILS_BYTES),
            ..self
        }
    }

    /// The word for programs.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    fn new(retryable: bool, code: String, message: String) -> Self {
        Self {
            retryable,
            code: text::clean(code, text::MAX_CODE_BYTES),
            message: text::clean(message, text::MAX_MESSAGE_BYTES),
            details: String::new(),
        }
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for TaskError {
    fn from(error: E) -> Self {
        let error = error.into();
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Many errors repeat their cause in their own text.
            if !message.ends_with(&cause_text) {
                message.push_str(": ");
                message.push_str(&cause_text);
            }
            if message.len() > text::MAX_MESSAGE_BYTES {
                break;
            }
            source = cause.source();
        }
        Self::retryable(code::ERROR, message)
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.retryable { "retryable" } else { "fatal" };
        write!(f, "TaskError({kind}, {}: {})", self.code, self.message)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    fn parse(text: &str) -> Result<u32, TaskError> {
        Ok(text.parse::<u32>()?)
    }

    fn with_context(text: &str) -> Result<u32, TaskError> {
        Ok(text.parse::<u32>().context("reading the count")?)
    }

    #[test]
    fn any_error_is_a_retryable_failure_that_names_its_causes() {
        let plain = parse("x").expect_err("is no number");
        assert_eq!((plain.code(), plain.is_retryable()), (code::ERROR, true));
        let nested = with_context("x").expect_err("is no number");
        assert_eq!(
            nested.message(),
            "reading the count: invalid digit found in string"
        );
    }

    #[test]
    fn texts_are_cut_to_their_bounds() {
        let error =
            TaskError::fatal("c".repeat(200), "m\0ü".repeat(4096)).details("d".repeat(20_000));
        assert_eq!(error.code.len(), 128);
        assert!(error.message.len() <= 4096 && error.message.len() > 4090);
        assert!(!error.message.contains('\0'));
        assert_eq!(error.details.len(), 16 * 1024);
    }

    #[test]
    fn an_outcome_out_of_bounds_fails_for_good() {
        let large = vec![0_u8; text::MAX_PAYLOAD_BYTES + 1];
        let bad = [
            Outcome::forward("hw.s/batch", "t", "{}", "application/json"),
            Outcome::forward("", "t", "{}", "application/json"),
            Outcome::forward("next", "t".repeat(257), "{}", "application/json"),
            Outcome::forward("next", "t", large.clone(), "application/json"),
            Outcome::done_with_result(large, "application/octet-stream"),
            Outcome::done_with_result("", "x".repeat(129)),
        ];
        for outcome in bad {
            let error = outcome.checked().expect_err("is out of bounds");
            assert_eq!(
                (error.code(), error.is_retryable()),
                (code::BAD_OUTCOME, false)
            );
        }
        assert!(
            Outcome::forward("next", "t", "{}", "application/json")
                .checked()
                .is_ok()
        );
    }
}
