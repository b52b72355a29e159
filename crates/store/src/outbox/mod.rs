//! The outbox: each commit writes its messages for the broker into it, in its own transaction.

pub(crate) mod message;
pub(crate) mod statements;
