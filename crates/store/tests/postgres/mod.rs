//! What only PostgreSQL has: row locks that others can hold, and plans that choose among indexes.

pub mod altered;
pub mod answers;
pub mod indexes;
pub mod late;
pub mod locks;
pub mod lost_answers;
pub mod outages;
pub mod proxy;
pub mod refusals;
pub mod texts;
