//! What a job is split into: a tree of batches, their pages and leaves, each with the trouble it
//! makes.

use std::collections::BTreeSet;

use headway_domain::{
    batches::{Child, Split},
    reports::Failed,
};
use proptest::prelude::*;

/// How a leaf misbehaves while the run is below [`Plan::until`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Not at all.
    None,
    /// Its first tries fail in a passing way, this many of them.
    Flaky(u32),
    /// It fails for good.
    Lasting,
    /// It kills the worker that runs it.
    Killer,
}

/// What happens to a leaf when it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Its misbehaviour, at its last stage.
    pub trouble: Trouble,
    /// The first run in which it behaves.
    pub until: u32,
    /// Whether its first stage forwards it to a second.
    pub forward: bool,
    /// Whether its delivery becomes a lease.
    pub slow: bool,
}

impl Plan {
    /// A leaf without trouble.
    pub(crate) const GOOD: Self = Self {
        trouble: Trouble::None,
        until: 0,
        forward: false,
        slow: false,
    };

    /// The trouble it makes in a run.
    pub(crate) fn trouble(&self, run: u32) -> Trouble {
        if run < self.until {
            self.trouble
        } else {
            Trouble::None
        }
    }

    /// Whether it cannot end well in a run.
    pub(crate) fn fails_for_good(&self, run: u32, max_attempts: u32) -> bool {
        match self.trouble(run) {
            Trouble::None => false,
            Trouble::Flaky(tries) => tries >= max_attempts,
            Trouble::Lasting | Trouble::Killer => true,
        }
    }
}

/// How the splitting of a page goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not at all.
    None,
    /// It fails in a passing way while the attempt is below this.
    Passing(u32),
    /// It fails for good while the run is below this.
    Lasting(u32),
}

/// A child of a page in the tree.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// A leaf.
    Leaf(Plan),
    /// A sub-batch.
    Batch(Tree),
}

/// A batch: its pages, each with the fault of its splitting.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    /// The pages.
    pub pages: Vec<(Fault, Vec<Node>)>,
    /// Whether the splitter knows the number of leaves below it.
    pub declared: bool,
}

impl Tree {
    /// A batch of undeclared size whose pages hold these leaves.
    pub(crate) fn flat(pages: Vec<Vec<Plan>>) -> Self {
        let leaves = |page: Vec<Plan>| page.into_iter().map(Node::Leaf).collect();
        Self {
            pages: pages
                .into_iter()
                .map(|page| (Fault::None, leaves(page)))
                .collect(),
            declared: false,
        }
    }

    fn leaves(&self) -> u64 {
        let nodes = self.pages.iter().flat_map(|(_, nodes)| nodes);
        nodes
            .map(|node| match node {
                Node::Leaf(_) => 1,
                Node::Batch(tree) => tree.leaves(),
            })
            .sum()
    }
}

/// The number of a leaf, in the order in which the tree was written down.
pub(crate) type LeafId = usize;

#[derive(Debug, Clone, Copy)]
enum Entry {
    Leaf(LeafId),
    Batch(usize),
}

#[derive(Debug, Clone)]
struct Flat {
    pages: Vec<(Fault, Vec<Entry>)>,
    total: Option<u64>,
}

/// The tree with numbered batches and leaves; plays the splitter.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    batches: Vec<Flat>,
    leaves: Vec<Plan>,
}

impl Source {
    /// Numbers a tree.
    pub(crate) fn new(tree: &Tree) -> Self {
        let mut source = Self {
            batches: Vec::new(),
            leaves: Vec::new(),
        };
        source.add(tree);
        source
    }

    fn add(&mut self, tree: &Tree) -> usize {
        let number = self.batches.len();
        self.batches.push(Flat {
            pages: Vec::new(),
            total: tree.declared.then(|| tree.leaves()),
        });
        for (fault, nodes) in &tree.pages {
            let entries = nodes
                .iter()
                .map(|node| match node {
                    Node::Leaf(plan) => {
                        self.leaves.push(*plan);
                        Entry::Leaf(self.leaves.len() - 1)
                    }
                    Node::Batch(tree) => Entry::Batch(self.add(tree)),
                })
                .collect();
            self.batches[number].pages.push((*fault, entries));
        }
        number
    }

    /// How many leaves there are.
    pub(crate) fn len(&self) -> usize {
        self.leaves.len()
    }

    /// What a leaf does.
    pub(crate) fn plan(&self, leaf: LeafId) -> Plan {
        self.leaves[leaf]
    }

    fn at(&self, definition: Option<&[u8]>, cursor: Option<&[u8]>) -> (&Flat, usize) {
        (&self.batches[number(definition)], number(cursor))
    }

    /// Splits a page, as a splitter would.
    pub(crate) fn split(
        &self,
        definition: Option<&[u8]>,
        cursor: Option<&[u8]>,
        attempt: u32,
        run: u32,
        limit: u32,
    ) -> Result<Split, Failed> {
        let (flat, at) = self.at(definition, cursor);
        let Some((fault, entries)) = flat.pages.get(at) else {
            return Ok(Split {
                children: Vec::new(),
                next: None,
                total: flat.total,
                limit,
                hash: 0,
                stored: None,
            });
        };
        let failed = match fault {
            Fault::None => None,
            Fault::Passing(attempts) => (attempt < *attempts).then_some(true),
            Fault::Lasting(runs) => (run < *runs).then_some(false),
        };
        if let Some(retryable) = failed {
            return Err(Failed {
                retryable,
                code: "SPLIT".into(),
                ..Failed::default()
            });
        }
        let children = entries.iter().map(|entry| match entry {
            Entry::Leaf(_) => Child::Item,
            Entry::Batch(batch) => Child::Batch {
                definition: bytes(*batch),
                total: self.batches[*batch].total,
            },
        });
        Ok(Split {
            children: children.collect(),
            next: (at + 1 < flat.pages.len()).then(|| bytes(at + 1)),
            total: flat.total,
            limit,
            hash: i64::try_from(at).unwrap(),
            stored: None,
        })
    }

    /// The leaf behind a child of a page, if it is one.
    pub(crate) fn leaf(
        &self,
        definition: Option<&[u8]>,
        cursor: Option<&[u8]>,
        index: u32,
    ) -> Option<LeafId> {
        let (flat, at) = self.at(definition, cursor);
        match flat.pages.get(at)?.1.get(index as usize)? {
            Entry::Leaf(leaf) => Some(*leaf),
            Entry::Batch(_) => None,
        }
    }

    /// The leaves that can be found in a run, and whether a page cannot be split in it.
    pub(crate) fn reach(&self, run: u32) -> (BTreeSet<LeafId>, bool) {
        let (mut found, mut faulty, mut queue) = (BTreeSet::new(), false, vec![0]);
        while let Some(batch) = queue.pop() {
            for (fault, entries) in &self.batches[batch].pages {
                if matches!(fault, Fault::Lasting(runs) if run < *runs) {
                    // Nothing behind it can be found either: only its answer names the next cursor.
                    faulty = true;
                    break;
                }
                for entry in entries {
                    match entry {
                        Entry::Leaf(leaf) => {
                            found.insert(*leaf);
                        }
                        Entry::Batch(batch) => queue.push(*batch),
                    }
                }
            }
        }
        (found, faulty)
    }
}

fn bytes(number: usize) -> Vec<u8> {
    u32::try_from(number).unwrap().to_le_bytes().to_vec()
}

fn number(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(0, |bytes| {
        u32::from_le_bytes(bytes.try_into().unwrap()) as usize
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    let trouble = prop_oneof![
        6 => Just(Trouble::None),
        2 => (1u32..4).prop_map(Trouble::Flaky),
        1 => Just(Trouble::Lasting),
        1 => Just(Trouble::Killer),
    ];
    let rarely = || prop::bool::weighted(0.2);
    (trouble, 1u32..3, rarely(), rarely()).prop_map(|(trouble, until, forward, slow)| Plan {
        trouble,
        until,
        forward,
        slow,
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        12 => Just(Fault::None),
        2 => Just(Fault::Passing(1)),
        1 => (1u32..3).prop_map(Fault::Lasting),
    ]
}

fn batch(child: impl Strategy<Value = Node>, children: usize) -> impl Strategy<Value = Tree> {
    let page = (fault(), prop::collection::vec(child, 0..children));
    let declared = prop::bool::weighted(0.3);
    (prop::collection::vec(page, 1..4), declared)
        .prop_map(|(pages, declared)| Tree { pages, declared })
}

/// A tree of up to some dozens of leaves, with batches within batches; or a small one, in which
/// the same few things happen to the same few leaves.
pub(crate) fn tree() -> impl Strategy<Value = Tree> {
    let node = plan()
        .prop_map(Node::Leaf)
        .prop_recursive(3, 24, 5, |child| batch(child, 4).prop_map(Node::Batch));
    let small = prop::collection::vec(prop::collection::vec(plan(), 1..3), 1..3);
    prop_oneof![2 => batch(node, 7), 1 => small.prop_map(Tree::flat)]
}
