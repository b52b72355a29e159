//! Shared types that stand on nothing but the domain: numbers, caches, and what a commit means for
//! others.

pub(crate) mod codes;
pub(crate) mod committed;
pub(crate) mod limited;
pub(crate) mod meta_cache;
pub(crate) mod miscounts;
pub(crate) mod numbers;
