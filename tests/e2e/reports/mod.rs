//! Reports: doubled, late, or refused by the database.

mod doubled;
mod fencing;
mod refusals;
