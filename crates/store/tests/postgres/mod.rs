//! What only PostgreSQL has: row locks that others can hold, and plans that choose among indexes.

pub(crate) mod altered;
pub(crate) mod answers;
pub(crate) mod indexes;
pub(crate) mod late;
pub(crate) mod locks;
pub(crate) mod lost_answers;
pub(crate) mod outages;
pub(crate) mod proxy;
pub(crate) mod refusals;
pub(crate) mod texts;
