//! The database: connections, transactions, statements and tables, in both dialects.

pub(crate) mod bulk;
pub(crate) mod clock;
mod compat;
pub(crate) mod config;
pub(crate) mod handle;
pub(crate) mod insert;
pub(crate) mod keys;
mod migration;
pub(crate) mod pools;
pub(crate) mod statements;
pub(crate) mod table;
pub(crate) mod tx;

pub use config::{StoreConfig, StoreUrl};
pub(crate) use handle::Db;
pub(crate) use migration::LOCK;
pub(crate) use tx::{Durability, Tx};
