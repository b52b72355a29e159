//! The tracking worker: applies what workers report, advances jobs, fires timers, shares out the
//! credit of pipes, and repairs what was lost.
//!
//! [`Tracker`] claims logical shards and runs the loop of `reports/shard.rs` for each. `clock.rs`
//! starts and ends jobs by the time, `janitor.rs` does what is nobody's shard: overdue outbox rows,
//! idle jobs, deleted jobs, old events. `pipes` shares out credit and works dead letters off.
//! `repair` finds lost messages and settles jobs whose items nobody takes.

mod clock;
mod janitor;
mod lead;
mod pipes;
mod repair;
mod reports;
mod tracker;

use headway_relay::Links;
use headway_runtime::{config::Config, tasks::Supervisor};
pub use tracker::{Tracker, TrackerConfig};

/// Starts the tracking role, as the configuration says.
pub fn start(config: &Config, links: &Links, supervisor: &Supervisor) {
    let tracking = TrackerConfig {
        sweep_interval: config.sweep_interval,
        outbox_after: config.outbox_after,
        silence: config.lease_after + config.repair_margin,
        margin: config.repair_margin,
        epoch_interval: config.epoch_interval,
        event_retention: config.event_retention,
        pipe_retention: config.pipe_retention,
        ..TrackerConfig::default()
    };
    let shutdown = supervisor.shutdown().clone();
    Tracker::new(links.relay.clone(), tracking, shutdown).spawn(supervisor);
}
