//! A process of Headway: how it connects to what it works with, and its main function.

mod folder;
mod links;
mod role;

pub use links::Links;
pub use role::main;
