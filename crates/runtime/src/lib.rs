//! What every role needs to run and nothing about jobs: configuration, telemetry, supervised
//! tasks, shutdown and readiness.
//!
//! A role's `main` reads, in this order: [`config::Config::load`], [`telemetry::init`],
//! [`shutdown::on_signals`], then a [`tasks::Supervisor`] that owns every background task, and at
//! the end [`tasks::Supervisor::join`] with the configured drain deadline.

pub mod config;
pub mod duration;
pub mod layers;
pub mod readiness;
pub mod secret;
pub mod shutdown;
pub mod tasks;
pub mod telemetry;

pub use config::{Config, Role};
pub use layers::{ConfigError, Layers, Loaded};
pub use readiness::{Dependency, Readiness};
pub use secret::SecretUrl;
pub use tasks::{Supervisor, SupervisorError, TaskKind};
pub use telemetry::LogFormat;
