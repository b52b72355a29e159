//! The batch worker: reads a batch definition a page at a time, records what it finds, and sends
//! the items to their pipe.
//!
//! [`BatchWorker`] consumes the queue of batch messages. `split.rs` answers "split this page",
//! `dispatch.rs` "send these items of this page". Splitters are plug-ins: see
//! [`headway_splitters`]. `bulk` is what pauses, cancels or deletes many jobs as a job.

mod bulk;
mod children;
mod dispatch;
mod pipes;
mod publish;
mod split;
mod worker;

use headway_relay::Links;
use headway_runtime::{
    config::Config,
    tasks::{Supervisor, TaskKind},
};
use headway_splitters::Registry;
pub use worker::{BatchConfig, BatchWorker};

/// Starts the batch role with these splitters, as the configuration says.
pub fn start(config: &Config, links: &Links, registry: Registry, supervisor: &Supervisor) {
    let batch = BatchConfig {
        split_timeout: config.split_timeout,
        ..BatchConfig::default()
    };
    let shutdown = supervisor.shutdown().clone();
    let store = links.relay.store().clone();
    let registry = registry.add(std::sync::Arc::new(bulk::MatchingJobs::new(store)));
    let (relay, token) = (links.relay.clone(), shutdown.clone());
    supervisor.spawn(TaskKind::Service, "batch-jobs", async move {
        bulk::worker(relay, token).await
    });
    let worker = BatchWorker::new(links.relay.clone(), registry, batch, shutdown);
    supervisor.spawn(
        TaskKind::Service,
        "batch",
        async move { worker.run().await },
    );
}
