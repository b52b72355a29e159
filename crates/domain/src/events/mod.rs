//! Events of the audit log.

pub mod event;
