//! Why a splitter finds no page.

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// Trying again cannot help: the job fails with this sentence.
    #[error("{0}")]
    Invalid(String),
    /// A fault that may pass, as of a network file system: tried again with backoff.
    #[error("{0}")]
    Transient(String),
}

impl SplitError {
    /// A lasting error.
    pub fn invalid(sentence: impl Into<String>) -> Self {
        Self::Invalid(sentence.into())
    }

    /// A passing error.
    pub fn transient(sentence: impl Into<String>) -> Self {
        Self::Transient(sentence.into())
    }
}
