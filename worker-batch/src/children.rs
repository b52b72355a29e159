//! The children of a page: how they are hashed and stored, and a small memory of those whose
//! items are not all released yet.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use headway_domain::{JobUid, batches};
use headway_splitters::{Child, Page};
use serde_json::Value;

/// Pages remembered at most: at 4096 children of some hundred bytes, some ten megabytes.
const REMEMBERED: usize = 32;

/// The items of a page by index; sub-batches stand as null.
pub(crate) type Items = Arc<Vec<Value>>;

/// What a splitter's page becomes.
pub(crate) struct Found {
    /// The items.
    pub items: Items,
    /// What is recorded of each child.
    pub children: Vec<batches::Child>,
    /// A hash over everything that was found.
    pub hash: i64,
    /// The children as JSON.
    pub json: Vec<u8>,
}

/// Takes a splitter's page apart. The error is a sentence about what is wrong with it.
pub(crate) fn take(page: Page) -> Result<Found, String> {
    let mut items = Vec::with_capacity(page.children.len());
    let mut children = Vec::with_capacity(page.children.len());
    let mut hash = Fnv::default();
    for child in page.children {
        match child {
            Child::Item(value) => {
                items.push(value);
                children.push(batches::Child::Item);
            }
            Child::Batch { definition, total } => {
                let definition = definition.encode();
                hash.write(&definition);
                items.push(Value::Null);
                children.push(batches::Child::Batch { definition, total });
            }
        }
    }
    let json =
        serde_json::to_vec(&items).map_err(|error| format!("an item is not JSON: {error}"))?;
    hash.write(&json);
    hash.write(page.next.as_deref().unwrap_or_default());
    Ok(Found {
        items: Arc::new(items),
        children,
        hash: hash.finish(),
        json,
    })
}

/// The stored form of children.
pub(crate) fn compress(json: &[u8]) -> Vec<u8> {
    lz4_flex::compress_prepend_size(json)
}

/// Reads the stored form.
pub(crate) fn decompress(stored: &[u8]) -> Result<Items, String> {
    let json = lz4_flex::decompress_size_prepended(stored).map_err(|error| error.to_string())?;
    serde_json::from_slice(&json)
        .map(Arc::new)
        .map_err(|error| error.to_string())
}

/// FNV-1a, 64 bits (draft-eastlake-fnv): small and the same in every version and on every machine.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&[0xff]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn finish(&self) -> i64 {
        i64::from_ne_bytes(self.0.to_ne_bytes())
    }
}

/// A page, and the hash over what was found in it.
type Key = (JobUid, u32, i64);

/// Pages whose items are not all released: the next dispatch is likely to come soon.
#[derive(Default)]
pub(crate) struct Memory {
    pages: Mutex<VecDeque<(Key, Items)>>,
}

impl Memory {
    pub(crate) fn keep(&self, uid: JobUid, page: u32, hash: i64, items: Items) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.len() >= REMEMBERED {
            pages.pop_front();
        }
        pages.push_back(((uid, page, hash), items));
    }

    pub(crate) fn get(&self, uid: JobUid, page: u32, hash: i64) -> Option<Items> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages
            .iter()
            .find(|(key, _)| *key == (uid, page, hash))
            .map(|(_, items)| items.clone())
    }

    pub(crate) fn forget(&self, uid: JobUid, page: u32) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.retain(|((other, number, _), _)| (*other, *number) != (uid, page));
    }
}

#[cfg(test)]
mod tests {
    use headway_splitters::Definition;
    use serde_json::json;

    use super::*;

    fn page(items: &[i64], next: Option<&[u8]>) -> Page {
        Page {
            children: items.iter().map(|item| Child::Item(json!(item))).collect(),
            next: next.map(<[u8]>::to_vec),
        }
    }

    #[test]
    fn hash_tells_answers_apart() {
        let hash = |page| take(page).unwrap().hash;
        assert_eq!(hash(page(&[1, 2], None)), hash(page(&[1, 2], None)));
        assert_ne!(hash(page(&[1, 2], None)), hash(page(&[2, 1], None)));
        assert_ne!(hash(page(&[1, 2], None)), hash(page(&[1, 2], Some(b"c"))));
        let batch = |from: i64| Page {
            children: vec![Child::Batch {
                definition: Definition::Json(json!(from)),
                total: None,
            }],
            next: None,
        };
        assert_ne!(hash(batch(1)), hash(batch(2)));
    }

    #[test]
    fn children_survive_storage() {
        let found = take(page(&[5, 6, 7], None)).unwrap();
        assert_eq!(decompress(&compress(&found.json)).unwrap(), found.items);
        assert!(decompress(b"junk").is_err());
    }

    #[test]
    fn memory_is_bounded_and_forgets() {
        let memory = Memory::default();
        let uid = JobUid(uuid::Uuid::new_v4());
        for number in 0..100 {
            memory.keep(uid, number, 0, Items::default());
        }
        assert!(memory.get(uid, 99, 0).is_some());
        assert!(memory.get(uid, 0, 0).is_none());
        memory.forget(uid, 99);
        assert!(memory.get(uid, 99, 0).is_none());
    }
}
