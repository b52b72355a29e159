//! Rows and how they become domain types and back. Nothing above this folder sees a row.

pub(crate) mod event;
pub(crate) mod item;
pub(crate) mod job;
pub(crate) mod meta;
pub(crate) mod page;

use crate::error::StoreError;

/// A counter or number from a column that only ever holds such.
pub(crate) fn unsigned<T: TryFrom<i64>>(value: i64) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| StoreError::Broken(format!("number {value} is out of range")))
}

/// 0 stands for none.
pub(crate) fn optional(value: i64) -> Option<i64> {
    (value != 0).then_some(value)
}
