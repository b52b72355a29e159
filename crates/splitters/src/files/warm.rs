//! What the `files` splitter remembers of a folder between two pages: the sorted names that follow
//! a point.
//!
//! A hint only. Whoever finds nothing here reads the folder again.

use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::WarmKey;

/// What one key costs besides its bytes: its pointer and length, and the allocator's share.
const KEY_OVERHEAD: usize = 48;

/// The smallest keys of a folder above a point, in order and without gaps.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Every key in here is greater.
    after: Box<[u8]>,
    keys: Vec<Box<[u8]>>,
    /// Whether no key of the folder follows the last one in here.
    pub(super) complete: bool,
    bytes: usize,
}

impl Chunk {
    /// The keys above `cursor`; `None` if the chunk does not say which ones follow it.
    pub(super) fn keys_after(&self, cursor: &[u8]) -> Option<&[Box<[u8]>]> {
        if *cursor < *self.after {
            return None;
        }
        Some(&self.keys[self.keys.partition_point(|key| **key <= *cursor)..])
    }
}

/// Gathers the smallest keys in bounded memory, however many there are.
#[derive(Debug)]
pub(super) struct Smallest {
    after: Box<[u8]>,
    heap: BinaryHeap<Box<[u8]>>,
    /// The smallest key that was dropped. What is not below it must be dropped too, or there would
    /// be a gap.
    ceiling: Option<Box<[u8]>>,
    bytes: usize,
    capacity: usize,
}

impl Smallest {
    /// Gathers keys above `after`, of about `capacity` bytes together, and at least one.
    pub(super) fn new(after: &[u8], capacity: usize) -> Self {
        Self {
            after: after.into(),
            heap: BinaryHeap::new(),
            ceiling: None,
            bytes: 0,
            capacity,
        }
    }

    /// Whether a key would be kept at the moment.
    pub(super) fn wants(&self, key: &[u8]) -> bool {
        *key > *self.after && self.ceiling.as_deref().is_none_or(|ceiling| key < ceiling)
    }

    /// Offers a key.
    pub(super) fn offer(&mut self, key: &[u8]) {
        if !self.wants(key) {
            return;
        }
        self.heap.push(key.into());
        self.bytes += key.len() + KEY_OVERHEAD;
        while self.bytes > self.capacity && self.heap.len() > 1 {
            let Some(largest) = self.heap.pop() else {
                break;
            };
            self.bytes -= largest.len() + KEY_OVERHEAD;
            self.ceiling = Some(largest);
        }
    }

    /// What was gathered.
    pub(super) fn finish(self) -> Chunk {
        let mut keys = self.heap.into_sorted_vec();
        // A folder that changes while it is read may show a name twice.
        keys.dedup();
        Chunk {
            after: self.after,
            keys,
            complete: self.ceiling.is_none(),
            bytes: self.bytes,
        }
    }
}

/// Chunks by batch: bounded in bytes, the one unused for longest goes first, and none is kept for
/// long.
#[derive(Debug)]
pub(super) struct Warm {
    chunks: Mutex<HashMap<WarmKey, Kept>>,
    capacity: usize,
    lifetime: Duration,
}

#[derive(Debug)]
struct Kept {
    chunk: Arc<Chunk>,
    used: Instant,
}

/// How many chunks are kept, so that many small ones do not add up.
const MAX_CHUNKS: usize = 256;

impl Warm {
    /// Keeps chunks of up to `capacity` bytes together, each for `lifetime` after its last use.
    pub(super) fn new(capacity: usize, lifetime: Duration) -> Self {
        Self {
            chunks: Mutex::new(HashMap::new()),
            capacity,
            lifetime,
        }
    }

    /// What is known of a batch.
    pub(super) fn get(&self, key: WarmKey) -> Option<Arc<Chunk>> {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        chunks.retain(|_, kept| now.duration_since(kept.used) < self.lifetime);
        let kept = chunks.get_mut(&key)?;
        kept.used = now;
        Some(Arc::clone(&kept.chunk))
    }

    /// Remembers a chunk in place of an earlier one.
    pub(super) fn put(&self, key: WarmKey, chunk: Arc<Chunk>) {
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.insert(
            key,
            Kept {
                chunk,
                used: Instant::now(),
            },
        );
        let mut bytes: usize = chunks.values().map(|kept| kept.chunk.bytes).sum();
        while bytes > self.capacity || chunks.len() > MAX_CHUNKS {
            let Some((oldest, size)) = chunks
                .iter()
                .min_by_key(|(_, kept)| kept.used)
                .map(|(key, kept)| (*key, kept.chunk.bytes))
            else {
                break;
            };
            chunks.remove(&oldest);
            bytes -= size;
        }
    }

    /// Forgets a batch.
    pub(super) fn remove(&self, key: WarmKey) {
        self.chunks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn key(batch: u64) -> WarmKey {
        WarmKey {
            job: Uuid::nil(),
            batch,
        }
    }

    fn chunk(bytes: usize) -> Arc<Chunk> {
        let mut smallest = Smallest::new(b"", usize::MAX);
        smallest.offer(&vec![1; bytes - KEY_OVERHEAD]);
        Arc::new(smallest.finish())
    }

    proptest! {
        #[test]
        fn a_chunk_is_the_smallest_keys_without_gaps(
            keys in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..4), 0..60),
            after in proptest::collection::vec(any::<u8>(), 0..2),
            room in 1..40usize,
            cursor in proptest::collection::vec(any::<u8>(), 0..4),
        ) {
            let mut smallest = Smallest::new(&after, room * (KEY_OVERHEAD + 2));
            for key in &keys {
                smallest.offer(key);
            }
            let chunk = smallest.finish();
            let expected: BTreeSet<&[u8]> = keys.iter().map(Vec::as_slice).filter(|key| **key > *after).collect();
            let kept: Vec<&[u8]> = chunk.keys.iter().map(|key| &**key).collect();
            prop_assert_eq!(&kept, &expected.iter().copied().take(kept.len()).collect::<Vec<_>>());
            prop_assert!(chunk.complete == (kept.len() == expected.len()) || !chunk.complete);
            prop_assert!(!kept.is_empty() || expected.is_empty());
            prop_assert!(chunk.bytes <= room * (KEY_OVERHEAD + 2) || kept.len() == 1);
            match chunk.keys_after(&cursor) {
                None => prop_assert!(cursor < after),
                Some(rest) => prop_assert!(rest.iter().all(|key| **key > *cursor)),
            }
        }
    }

    #[test]
    fn the_chunk_unused_for_longest_goes_first() {
        let warm = Warm::new(1000, Duration::from_secs(60));
        warm.put(key(1), chunk(400));
        warm.put(key(2), chunk(400));
        assert!(warm.get(key(1)).is_some());
        warm.put(key(3), chunk(400));
        assert!(warm.get(key(2)).is_none());
        assert!(warm.get(key(1)).is_some() && warm.get(key(3)).is_some());
        warm.put(key(4), chunk(2000));
        assert!((1..5).all(|batch| warm.get(key(batch)).is_none()));
    }

    #[test]
    fn chunks_are_bounded_in_number_and_expire() {
        let warm = Warm::new(usize::MAX, Duration::from_secs(60));
        (0..=256).for_each(|batch| warm.put(key(batch), chunk(100)));
        assert_eq!(
            (0..=256)
                .filter(|batch| warm.get(key(*batch)).is_some())
                .count(),
            MAX_CHUNKS
        );
        warm.remove(key(256));
        assert!(warm.get(key(256)).is_none());

        let short = Warm::new(1000, Duration::ZERO);
        short.put(key(1), chunk(100));
        assert!(short.get(key(1)).is_none());
    }
}
