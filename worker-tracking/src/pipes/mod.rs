//! Pipes: how fast they drain, who may send how much, their dead letters, and the end of those that
//! nobody uses.

mod credit;
mod dead_letters;
mod rates;
mod removal;
mod share;

pub(crate) use rates::Rates;
