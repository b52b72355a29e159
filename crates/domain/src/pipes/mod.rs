//! Pipes: their limits, and what a job may send to them.

pub mod share;
