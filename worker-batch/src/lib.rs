//! The batch worker: reads a batch definition a page at a time, records what it finds, and sends
//! the items to their pipe.
//!
//! [`BatchWorker`] consumes the queue of batch messages. `split.rs` answers "split this page", `dispatch.rs` "send
//! these items of this page". Splitters are plug-ins: see [`splitter`].

mod children;
mod dispatch;
mod split;
pub mod splitter;
pub mod template;
mod worker;

use headway_relay::Links;
use headway_runtime::{
    config::Config,
    tasks::{Supervisor, TaskKind},
};
pub use worker::{BatchConfig, BatchWorker};

/// Starts the batch role with these splitters, as the configuration says.
pub fn start(
    config: &Config,
    links: &Links,
    registry: splitter::Registry,
    supervisor: &Supervisor,
) {
    let batch = BatchConfig {
        split_timeout: config.split_timeout,
        ..BatchConfig::default()
    };
    let shutdown = supervisor.shutdown().clone();
    let worker = BatchWorker::new(links.relay.clone(), registry, batch, shutdown);
    supervisor.spawn(
        TaskKind::Service,
        "batch",
        async move { worker.run().await },
    );
}
