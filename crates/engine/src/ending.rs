//! How a try of an item ends, within the bounds of the contract.

use bytes::Bytes;

use crate::text;

/// The codes that Headway itself gives to failures of handlers.
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
pub enum Ending {
    /// Done without more to say.
    Done,
    /// Done, with a result.
    DoneWithResult {
        /// At most 1 MiB.
        payload: Bytes,
        /// The media type, at most 128 bytes.
        content_type: String,
    },
    /// On to another pipe.
    Forward {
        /// The next pipe.
        pipe: String,
        /// The next task type, at most 256 bytes.
        task_type: String,
        /// The next input, at most 1 MiB.
        payload: Bytes,
        /// The media type of the next input, at most 128 bytes.
        content_type: String,
    },
}

impl Ending {
    /// Checks the bounds of what leaves the worker.
    ///
    /// # Errors
    /// A fatal failure with code `BAD_OUTCOME`.
    pub fn checked(self) -> Result<Self, Failure> {
        let refuse = |message: String| Err(Failure::new(false, code::BAD_OUTCOME, message));
        let (payload, content_type) = match &self {
            Self::Done => return Ok(self),
            Self::DoneWithResult {
                payload,
                content_type,
            } => (payload, content_type),
            Self::Forward {
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
        Ok(self)
    }
}

/// How a try of an item failed. The texts are within their bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whether trying again may help.
    pub retryable: bool,
    /// A word for programs, at most 128 bytes.
    pub code: String,
    /// A sentence for people, at most 4096 bytes.
    pub message: String,
    /// More, usually JSON, at most 16 KiB.
    pub details: String,
}

impl Failure {
    /// A failure without details. Texts that are too long are cut.
    pub fn new(retryable: bool, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            retryable,
            code: text::clean(code.into(), text::MAX_CODE_BYTES),
            message: text::clean(message.into(), text::MAX_MESSAGE_BYTES),
            details: String::new(),
        }
    }

    /// Adds details; cut at 16 KiB.
    #[must_use]
    pub fn details(self, details: impl Into<String>) -> Self {
        Self {
            details: text::clean(details.into(), text::MAX_DETAILS_BYTES),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(pipe: &str, task_type: String, payload: Vec<u8>) -> Ending {
        Ending::Forward {
            pipe: pipe.to_owned(),
            task_type,
            payload: payload.into(),
            content_type: "application/json".to_owned(),
        }
    }

    fn result(payload: Vec<u8>, content_type: String) -> Ending {
        Ending::DoneWithResult {
            payload: payload.into(),
            content_type,
        }
    }

    #[test]
    fn an_outcome_out_of_bounds_fails_for_good() {
        let large = vec![0_u8; text::MAX_PAYLOAD_BYTES + 1];
        let bad = [
            forward("hw.s/batch", "t".into(), Vec::new()),
            forward("", "t".into(), Vec::new()),
            forward("headway.jobs", "t".into(), Vec::new()),
            forward("next", "t".repeat(257), Vec::new()),
            forward("next", "t\0".into(), Vec::new()),
            forward("next", "t".into(), large.clone()),
            result(large, "application/octet-stream".into()),
            result(Vec::new(), "x".repeat(129)),
        ];
        for ending in bad {
            let failure = ending.checked().expect_err("is out of bounds");
            assert_eq!(
                (failure.code.as_str(), failure.retryable),
                (code::BAD_OUTCOME, false)
            );
        }
        let good = forward("next", "t".into(), b"{}".to_vec());
        assert_eq!(good.clone().checked(), Ok(good));
    }

    #[test]
    fn texts_are_cut_to_their_bounds() {
        let failure = Failure::new(false, "c".repeat(200), "m\0ü".repeat(4096));
        let failure = failure.details("d".repeat(20_000));
        assert_eq!(failure.code.len(), 128);
        assert!(failure.message.len() <= 4096 && failure.message.len() > 4090);
        assert!(!failure.message.contains('\0'));
        assert_eq!(failure.details.len(), 16 * 1024);
    }
}
