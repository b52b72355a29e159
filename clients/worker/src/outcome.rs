//! How a handler ends an item: an [`Outcome`] or a [`TaskError`].
//!
//! What does not live here: how outcomes are reported (see `headway-engine`).

use std::error::Error;
use std::fmt;

use bytes::Bytes;
use headway_engine::text::MAX_MESSAGE_BYTES;
use headway_engine::{Ending, Failure, code};

/// How an item ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome(pub(crate) Ending);

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
}

/// How a try of an item failed.
///
/// Anything that is a `std::error::Error`, also an `anyhow::Error`, a string or a boxed error,
/// becomes a retryable failure with code `ERROR` by `?`. For that reason `TaskError` is itself no
/// `std::error::Error`.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskError(pub(crate) Failure);

impl TaskError {
    /// A failure that may pass: the item is tried again under the job's retry policy. `code` is a
    /// word for programs (cut at 128 bytes), `message` a sentence for people (cut at 4096 bytes).
    pub fn retryable(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Failure::new(true, code, message))
    }

    /// A failure that trying again cannot help: the item ends failed at once.
    pub fn fatal(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Failure::new(false, code, message))
    }

    /// Adds details, usually JSON; cut at 16 KiB.
    pub fn details(self, details: impl Into<String>) -> Self {
        Self(self.0.details(details))
    }

    /// The word for programs.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
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
            if message.len() > MAX_MESSAGE_BYTES {
                break;
            }
            source = cause.source();
        }
        Self::retryable(code::ERROR, message)
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure {
            retryable,
            code,
            message,
            ..
        } = &self.0;
        let kind = if *retryable { "retryable" } else { "fatal" };
        write!(f, "TaskError({kind}, {code}: {message})")
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
}
