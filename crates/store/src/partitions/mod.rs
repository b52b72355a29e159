//! Partitions: settings, quotas and suspension.

pub(crate) mod quotas;
pub(crate) mod settings;
pub(crate) mod suspension;
pub(crate) mod view;
