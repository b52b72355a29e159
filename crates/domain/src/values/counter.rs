//! Counters that never fall below zero.

/// A counter that refuses to fall below zero.
pub(crate) trait Counter {
    /// Subtracts and returns true, or leaves the counter unchanged and returns false.
    #[must_use]
    fn subtract(&mut self, by: Self) -> bool;
}

impl Counter for u64 {
    fn subtract(&mut self, by: Self) -> bool {
        let left = self.checked_sub(by);
        *self = left.unwrap_or(*self);
        left.is_some()
    }
}

impl Counter for u32 {
    fn subtract(&mut self, by: Self) -> bool {
        let left = self.checked_sub(by);
        *self = left.unwrap_or(*self);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_counter_is_right_or_refuses(value in any::<u64>(), by in any::<u64>()) {
            let mut counter = value;
            match value.checked_sub(by) {
                Some(left) => {
                    prop_assert!(counter.subtract(by));
                    prop_assert_eq!(counter, left);
                }
                None => {
                    prop_assert!(!counter.subtract(by));
                    prop_assert_eq!(counter, value);
                }
            }
        }
    }
}
