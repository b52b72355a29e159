//! Events of the audit log, and who caused them.

pub(crate) mod caller;
pub(crate) mod event;

pub use caller::{Caller, is_reserved};
pub use event::{EventKind, NewEvent};
