//! Publishes what a commit caused, each queue in windows of confirms of its own, and finds out
//! whether the broker lost its data.

mod epoch;
mod relay;
mod windows;

pub use epoch::EpochError;
pub use relay::Relay;
