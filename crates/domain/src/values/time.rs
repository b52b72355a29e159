//! Time as the rules see it.

/// Microseconds since 1970-01-01 UTC, by the database's clock.
pub type Micros = i64;
