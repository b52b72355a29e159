//! Why an engine ends.

use headway_broker::BrokerError;

/// Why a worker ended before it was told to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The broker's configuration was refused, or it was closed while the worker ran.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A handler's future panicked while it was dropped, outside of what can be caught. Its items
    /// are delivered again.
    #[error("a handler's future panicked while it was dropped")]
    Executor,
}
