//! Job types: named definitions that make a task or batch from parameters.
//!
//! A [`Definition`] has a JSON Schema for its parameters and a jq program that builds the work.
//! Both run in processes of their own ([`Evaluator`], [`child`]), which have no environment and
//! little time and memory. So a definition can make the server neither slow nor large.

pub mod child;
mod definition;
mod evaluate;
mod evaluator;
mod files;
pub mod spec;
pub mod yaml;

pub use definition::{BadDefinition, Definition, Property};
pub use evaluate::{Fault, Input, Job};
pub use evaluator::Evaluator;
pub use files::{FileType, FileTypes};
