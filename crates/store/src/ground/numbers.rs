//! Numbers in columns.

use uuid::Uuid;

use crate::error::StoreError;

/// A counter or number from a column that only ever holds such.
pub(crate) fn unsigned<T: TryFrom<i64>>(value: i64) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| StoreError::Broken(format!("number {value} is out of range")))
}

/// 0 stands for none.
pub(crate) fn optional(value: i64) -> Option<i64> {
    (value != 0).then_some(value)
}

/// A random positive key.
pub(crate) fn random_id() -> i64 {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    i64::try_from((high ^ low.rotate_left(32)) >> 1).unwrap_or(1)
}
