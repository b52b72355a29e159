//! What holds for the deployment as a whole: its settings, the broker's epoch, rows that cannot be
//! read, and upkeep.

pub(crate) mod epoch;
pub(crate) mod setting_entity;
pub(crate) mod unreadable;
pub(crate) mod upkeep;
