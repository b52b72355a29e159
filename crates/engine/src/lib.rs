//! The engine of workers: it owns every delivery of a pipe from its receipt to its acknowledgement,
//! with reports, status of jobs, leases, redeliveries and shutdown. A [`Runner`] runs the items.
//!
//! What does not live here: handlers of this process (see `headway-worker`).

mod attach;
mod confirm;
mod control;
mod coordinator;
mod ending;
mod envelope;
mod error;
mod ledger;
mod prefetch;
mod queue;
mod report;
mod runner;
mod status;
pub mod text;
mod work;

pub use coordinator::Settings;
pub use ending::{Ending, Failure, code};
pub use envelope::{EndedBy, Envelope, ProgressInbox};
pub use error::WorkerError;
pub use ledger::Key;
pub use queue::{RunQueue, Work};
pub use report::Reporter;
pub use runner::{Finished, Runner, Verdict};
pub use status::{DEFAULT_STATUS_CAPACITY, JobUid};
pub use work::work;
