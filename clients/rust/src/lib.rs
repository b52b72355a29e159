//! The client library of Headway: a channel with deadlines and retries, a watch that reconnects
//! by itself, names, and builders for job specs.
//!
//! ```no_run
//! use futures::StreamExt;
//! use headway_client::{BatchBuilder, Client, ClientConfig, JobBuilder, create_request};
//! use serde_json::json;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(ClientConfig::new("http://127.0.0.1:6420")).await?;
//! let spec = JobBuilder::new(
//!     BatchBuilder::new("range")
//!         .json(&json!({"from": 0, "to": 1000}))
//!         .item("numbers.check", "check"),
//! )
//! .label("team", "demo")
//! .build();
//! let job = client.create_job(create_request("default", spec)).await?;
//! let mut states = client.watch(&job.name.parse()?, None);
//! while let Some(state) = states.next().await {
//!     println!("{}", state?.progress.unwrap_or_default().percentage);
//! }
//! # Ok(())
//! # }
//! ```

mod calls;
mod client;
mod config;
mod error;
mod filter;
mod json;
mod name;
mod retry;
mod spec;
mod target;
mod watch;

pub use calls::{SCHEDULE_PATHS, create_request, job_type_name, pipe_limits_name, schedule_name};
pub use client::Client;
pub use config::{ClientConfig, RetryConfig};
pub use error::{Error, FieldViolation, PreconditionViolation, QuotaViolation, ResourceInfo};
pub use filter::JobFilter;
pub use headway::v1;
pub use json::{
    JsonError, batch_definition, batch_parameters, item_payload, json_to_struct, json_to_value,
    type_parameters, value_to_json,
};
pub use name::{JobName, NameError, partition_name};
pub use spec::{BatchBuilder, JobBuilder, TaskBuilder};
pub use target::JobTarget;
pub use tonic::Code;
pub use watch::{EventsWatch, JobsUpdate, JobsWatch, Watch, is_final};

/// The examples in the guide are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/API.md")]
pub struct Guide;
