//! Values that every subject uses: names and identities, and the bounds of requests.

pub mod ids;
pub mod limits;
