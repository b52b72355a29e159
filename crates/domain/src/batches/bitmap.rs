//! A bitmap over the children of a page: up to 4096 bits, stored without trailing zero bytes,
//! so that an empty one costs nothing.

/// A set of child indexes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bitmap {
    bytes: Vec<u8>,
}

impl Bitmap {
    /// Reads the stored form.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        let mut map = Self { bytes };
        map.trim();
        map
    }

    /// The stored form: little-endian bits, no trailing zero bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The indexes `0..count`.
    pub fn first(count: u32) -> Self {
        let mut map = Self {
            bytes: vec![0xff; (count as usize).div_ceil(8)],
        };
        if !count.is_multiple_of(8)
            && let Some(last) = map.bytes.last_mut()
        {
            *last = (1u8 << (count % 8)) - 1;
        }
        map
    }

    /// Whether the index is in the set.
    pub fn contains(&self, index: u32) -> bool {
        self.bytes
            .get((index / 8) as usize)
            .is_some_and(|byte| byte & (1 << (index % 8)) != 0)
    }

    /// Adds the index; tells whether it was absent.
    pub fn insert(&mut self, index: u32) -> bool {
        let at = (index / 8) as usize;
        if at >= self.bytes.len() {
            self.bytes.resize(at + 1, 0);
        }
        let bit = 1 << (index % 8);
        let flipped = self.bytes[at] & bit == 0;
        self.bytes[at] |= bit;
        flipped
    }

    /// Takes the index out; tells whether it was present.
    pub fn remove(&mut self, index: u32) -> bool {
        let Some(byte) = self.bytes.get_mut((index / 8) as usize) else {
            return false;
        };
        let bit = 1 << (index % 8);
        let flipped = *byte & bit != 0;
        *byte &= !bit;
        if flipped {
            self.trim();
        }
        flipped
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Whether nothing is in the set.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many indexes are in the set.
    pub fn len(&self) -> u32 {
        self.bytes.iter().map(|byte| byte.count_ones()).sum()
    }

    /// The indexes, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.bytes.iter().enumerate().flat_map(|(at, byte)| {
            (0..8)
                .filter(move |bit| byte & (1 << bit) != 0)
                .map(move |bit| at as u32 * 8 + bit)
        })
    }

    /// The union of this and another set.
    pub fn union(&self, other: &Self) -> Self {
        let (long, short) = if self.bytes.len() >= other.bytes.len() {
            (self, other)
        } else {
            (other, self)
        };
        let mut bytes = long.bytes.clone();
        for (byte, more) in bytes.iter_mut().zip(&short.bytes) {
            *byte |= more;
        }
        Self { bytes }
    }

    fn trim(&mut self) {
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
    }
}

impl FromIterator<u32> for Bitmap {
    fn from_iter<I: IntoIterator<Item = u32>>(indexes: I) -> Self {
        let mut map = Self::default();
        for index in indexes {
            map.insert(index);
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_set(ops in prop::collection::vec((any::<bool>(), 0u32..4096), 0..200)) {
            let mut map = Bitmap::default();
            let mut set = BTreeSet::new();
            for (add, index) in ops {
                if add {
                    prop_assert_eq!(map.insert(index), set.insert(index));
                } else {
                    prop_assert_eq!(map.remove(index), set.remove(&index));
                }
            }
            prop_assert_eq!(map.iter().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(map.len() as usize, set.len());
            prop_assert_eq!(map.is_empty(), set.is_empty());
            prop_assert_eq!(Bitmap::from_bytes(map.as_bytes().to_vec()), map);
        }

        #[test]
        fn full_holds_exactly_the_count(count in 0u32..4097) {
            let map = Bitmap::first(count);
            prop_assert_eq!(map.len(), count);
            prop_assert!(!map.contains(count));
        }
    }
}
