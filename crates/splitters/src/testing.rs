//! Walks whole definitions for the tests of splitters, and checks every page on the way.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Child, Definition, MAX_CURSOR_BYTES, Page, PageRequest, SplitError, Splitter, WarmKey,
};

/// Far more pages than any test needs: a splitter that does not come to an end is found here.
const MAX_PAGES: usize = 100_000;

/// All items of a definition, and what it took to find them.
pub(crate) struct Walk {
    pub leaves: Vec<Value>,
    pub pages: usize,
    pub depth: usize,
}

/// Compares without order.
pub(crate) trait Permutation {
    fn is_permutation_of(&self, expected: &[Value]) -> bool;
}

impl Permutation for Vec<Value> {
    fn is_permutation_of(&self, expected: &[Value]) -> bool {
        let count = |values: &[Value]| {
            let mut counts = BTreeMap::new();
            for value in values {
                *counts.entry(value.to_string()).or_insert(0) += 1;
            }
            counts
        };
        count(self) == count(expected)
    }
}

/// Makes the same numbers from the same seed.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number from 0 to below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

impl Walk {
    /// Splits everything, with the limits that `limit` gives. Each definition is stored and read
    /// again. Some pages are asked for twice, as after a crash, and the second answer counts.
    pub(crate) fn run(
        splitter: &dyn Splitter,
        root: Definition,
        seed: u64,
        mut limit: impl FnMut(&mut Numbers) -> usize,
    ) -> Self {
        let mut numbers = Numbers::new(seed);
        let mut walk = Self {
            leaves: Vec::new(),
            pages: 0,
            depth: 0,
        };
        let mut open = vec![(root, 1, None)];
        let mut batch = 0;
        while let Some((definition, depth, expected)) = open.pop() {
            let definition = Definition::decode(&definition.encode()).unwrap();
            let total = splitter.total(&definition, &Value::Null).unwrap();
            assert!(
                expected.is_none() || expected == total,
                "{expected:?} promised, {total:?} said"
            );
            batch += 1;
            walk.depth = walk.depth.max(depth);
            let mut cursor: Option<Vec<u8>> = None;
            loop {
                let size = limit(&mut numbers).clamp(1, 4096);
                let warm = (numbers.below(4) > 0).then_some(WarmKey {
                    job: Uuid::nil(),
                    batch,
                });
                let ask =
                    |size| Self::ask(splitter, &definition, cursor.as_deref(), size, warm).unwrap();
                let page = match numbers.below(8) {
                    0 => {
                        let first = ask(size);
                        let second = ask(size);
                        assert!(!splitter.reproducible() || first == second, "pages differ");
                        second
                    }
                    1 => {
                        ask(1);
                        ask(size)
                    }
                    _ => ask(size),
                };
                walk.pages += 1;
                assert!(
                    walk.pages < MAX_PAGES,
                    "the splitter does not come to an end"
                );
                for child in page.children {
                    match child {
                        Child::Item(item) => walk.leaves.push(item),
                        Child::Batch { definition, total } => {
                            open.push((definition, depth + 1, total))
                        }
                    }
                }
                match page.next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
        }
        walk
    }

    /// One page, which must be found.
    pub(crate) fn page(
        splitter: &dyn Splitter,
        definition: &Definition,
        cursor: Option<&[u8]>,
        limit: usize,
    ) -> Page {
        Self::ask(splitter, definition, cursor, limit, None).unwrap()
    }

    /// One page or error. A page is checked against its bounds.
    pub(crate) fn ask(
        splitter: &dyn Splitter,
        definition: &Definition,
        cursor: Option<&[u8]>,
        limit: usize,
        warm: Option<WarmKey>,
    ) -> Result<Page, SplitError> {
        let request = PageRequest {
            definition,
            parameters: &Value::Null,
            cursor,
            limit,
            warm,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let page = runtime.block_on(splitter.page(request))?;
        page.check(cursor, limit)?;
        assert!(
            page.next
                .as_ref()
                .is_none_or(|next| next.len() <= MAX_CURSOR_BYTES)
        );
        Ok(page)
    }
}

/// All items of a definition, found with random limits.
pub(crate) fn walk(splitter: &dyn Splitter, definition: Definition, seed: u64) -> Vec<Value> {
    Walk::run(splitter, definition, seed, |numbers| {
        match numbers.below(3) {
            0 => 1 + numbers.below(3),
            1 => 1 + numbers.below(100),
            _ => 4096,
        }
    })
    .leaves
}

/// Checks that a definition is refused, by the check or by the first page at the latest, with a
/// sentence that has this part in it.
pub(crate) fn invalid(splitter: &dyn Splitter, definition: &Definition, part: &str) {
    let refused = splitter
        .total(definition, &Value::Null)
        .and_then(|_| Walk::ask(splitter, definition, None, 10, None));
    match refused {
        Err(SplitError::Invalid(sentence)) => assert!(
            sentence.contains(part),
            "{sentence:?} does not say {part:?}"
        ),
        other => panic!("{other:?} where {part:?} was expected"),
    }
}

/// Any JSON value of a modest size.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6..1e6f64).prop_map(|number| json!(number.round() / 8.0)),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 8, |inner| {
        prop_oneof![
            3 => proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            1 => proptest::collection::btree_map("[a-z]{0,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
