//! The worker SDK: consume a pipe, run a handler for each item, and leave the rest to the SDK:
//! reports, acknowledgements, status of jobs, leases, redeliveries and shutdown.
//!
//! ```
//! use headway_worker::{CancellationToken, Outcome, Task, TaskError, Worker};
//! # use std::sync::Arc;
//! # use headway_worker::broker::InProcessBroker;
//!
//! #[derive(serde::Deserialize)]
//! struct Greeting {
//!     name: String,
//! }
//!
//! async fn greet(task: Task) -> Result<Outcome, TaskError> {
//!     let greeting: Greeting = task.payload()?;
//!     println!("hello {}", greeting.name);
//!     Ok(Outcome::done())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let broker = Arc::new(InProcessBroker::new());
//! let shutdown = CancellationToken::new();
//! # shutdown.cancel();
//! let worker = Worker::builder().broker(broker).pipe("greetings").concurrency(8).handler(greet).build()?;
//! worker.run(shutdown).await?;
//! # Ok(())
//! # }
//! ```
//!
//! What does not live here: what the items mean, how jobs are submitted (see `headway-client`), and
//! what happens to deliveries (see `headway-engine`).

mod builder;
mod error;
mod executor;
mod outcome;
mod task;

pub use builder::{Worker, WorkerBuilder};
pub use error::BuildError;
pub use headway_broker as broker;
pub use headway_engine::{WorkerError, code};
pub use headway_json_fault::json_fault;
pub use outcome::{Outcome, TaskError};
pub use task::Task;
pub use tokio_util::sync::CancellationToken;

/// Compiles the guide's first worker.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/WORKERS.md")]
struct Guide;
