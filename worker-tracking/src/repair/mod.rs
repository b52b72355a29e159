//! What nobody reports: messages that were lost, and items that nobody takes.

mod fences;
mod lost_messages;
mod settling;

pub(crate) use fences::Fences;
