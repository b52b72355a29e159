//! The harness of the end-to-end tests: whole deployments, embedded or on PostgreSQL and RabbitMQ,
//! each with its own database schema, queue prefix and ports, which check that nothing is left over
//! and clean up after themselves.
//!
//! [`run`] gives a test a [`Deployment`] whose roles run inside the test; [`run_cluster`] one whose
//! roles are processes of their own, which the test may kill.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails where it stands"
)]

mod back_end;
mod cluster;
mod deployment;
pub mod handlers;
mod harness;
mod jobs;
mod process;
mod record;
mod run;
mod services;
mod wait;

pub use back_end::{BackEnd, Options, Prepare};
pub use cluster::{Cluster, ClusterOptions};
pub use deployment::{Deployment, WorkerHandle};
pub use harness::Harness;
pub use jobs::{PIPES, SECOND, WORK, job_named, name, numbers, outcome_counts, range, request};
pub use process::{Process, Program, Role, end_with_input};
pub use record::{ItemFile, Record};
pub use run::{run, run_cluster};
pub use services::{
    BUSY, Namespace, Services, TIGHT_BYTES, blind, busy, deaf, full, leaderless, tight, twice,
};
pub use wait::{PATIENCE, until};
