//! Why a worker cannot be built.

/// Why a worker cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// No pipe, or a name that no pipe can have.
    #[error("the pipe name {0:?} is not 1 to 128 ASCII letters, digits, _ - .")]
    Pipe(String),
    /// Neither a broker nor an address was given.
    #[error("a worker needs a broker: call broker or amqp")]
    NoBroker,
    /// No handler was given.
    #[error("a worker needs a handler: call handler")]
    NoHandler,
    /// The concurrency is 0 or above 65,536.
    #[error("a worker runs 1 to 65536 handlers at once, not {0}")]
    Concurrency(usize),
    /// A duration that has to be longer than nothing.
    #[error("{0} must be longer than 0")]
    Duration(&'static str),
}
