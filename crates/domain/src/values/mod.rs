//! Values that every subject uses: names and identities, time, texts, and the bounds of requests.

pub(crate) mod counter;
pub mod ids;
pub mod limits;
pub mod text;
pub(crate) mod time;

pub use time::Micros;
