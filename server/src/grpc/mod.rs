//! JobService: the only place in the server where wire types meet domain types.

mod convert_in;
mod convert_out;
mod json;
mod page_token;
mod request;
mod resume_token;
mod service;
pub(crate) mod status;
mod violations;

pub(crate) use service::JobApi;
