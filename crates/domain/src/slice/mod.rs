//! The rows of one job that a transaction holds, and every operation on them.

mod advance;
mod changes;
mod clients;
pub(crate) mod effect;
mod items;
mod job_slice;
mod needs;
mod records;
mod recount;
mod retries;
pub(crate) mod rows;
mod share;
mod split;
#[cfg(test)]
pub(crate) mod testing;
mod waiting;

pub use effect::{Disposition, Effect};
pub use job_slice::{JobSlice, SliceParts};
pub use needs::Needs;
pub use rows::{Moment, RowChange, TrackedRow};
