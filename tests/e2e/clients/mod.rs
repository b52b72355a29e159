//! The command line, the guide, and clients that know nothing beforehand.

mod bad_inputs;
pub(crate) mod command_line;
mod commands;
mod guide;
pub(crate) mod reflection;
