//! The batch worker: reads a batch definition a page at a time, records what it finds, and sends
//! the items to their pipe.
//!
//! [`BatchWorker`] consumes the queue of batch messages. [`split`] answers "split this page", [`dispatch`] "send
//! these items of this page". Splitters are plug-ins: see [`splitter`].

mod children;
mod dispatch;
mod split;
pub mod splitter;
pub mod template;
mod worker;

pub use worker::{BatchConfig, BatchWorker};
