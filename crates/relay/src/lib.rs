//! Between the store and the broker: what is owed after a commit becomes messages, and messages become
//! domain types. Here, and in the server's gRPC layer, wire types meet domain types; nowhere else.

pub mod envelope;
mod epoch;
mod folder;
mod links;
mod relay;
pub mod role;
pub mod tasks;
mod windows;

pub use epoch::EpochError;
pub use links::Links;
pub use relay::Relay;
