//! Batches: what splitters find, and exact counts.

mod ordinary;
mod splitting;
