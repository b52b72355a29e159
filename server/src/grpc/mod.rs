//! The services: the only place in the server where wire types meet domain types. Each subject of
//! the contract has its folder, whose `mod.rs` implements its service.

mod api;
#[cfg(test)]
mod errors_doc;
mod events;
mod job_types;
mod jobs;
mod partitions;
mod pipes;
mod request;
mod schedules;
mod spec;
pub(crate) mod status;
mod tokens;
mod values;
mod violations;

pub(crate) use api::Api;
pub(crate) use jobs::WatchJob;
