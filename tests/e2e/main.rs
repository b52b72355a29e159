//! End-to-end tests over whole deployments.

mod pipeline;
