//! Between the store and the broker, in three parts:
//!
//! - [`codec`]: what travels in pipes as bytes;
//! - [`publisher`]: publishes what a commit caused, and finds out whether the broker lost its data;
//! - [`process`]: connects a process to database and broker, and runs it until it is told to stop.

pub mod codec;
pub mod process;
pub mod publisher;

pub use process::Links;
pub use publisher::{EpochError, Relay};
