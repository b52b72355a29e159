//! What jobs are split from: a tree in memory.

use headway_domain::batches::{Child, Split};
use headway_store::PageSource;

/// What a job is split from.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// An item.
    Item,
    /// A sub-batch.
    Batch(Vec<Node>),
}

impl Node {
    fn items(&self) -> u64 {
        match self {
            Self::Item => 1,
            Self::Batch(children) => children.iter().map(Self::items).sum(),
        }
    }
}

/// This many items side by side.
pub(crate) fn flat(items: usize) -> Vec<Node> {
    vec![Node::Item; items]
}

/// A splitter over a tree in memory.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    /// The children of the root.
    pub root: Vec<Node>,
    /// Whether it says how many items there are.
    pub declared: bool,
    /// Whether it calls itself reproducible.
    pub reproducible: bool,
    /// Children of a page at most.
    pub page: u32,
}

impl Tree {
    /// Reproducible, of unknown size, in pages as large as the job allows.
    pub(crate) fn new(root: Vec<Node>) -> Self {
        Self {
            root,
            declared: false,
            reproducible: true,
            page: u32::MAX,
        }
    }

    /// With pages of this many children at most.
    pub(crate) fn in_pages_of(self, page: u32) -> Self {
        Self { page, ..self }
    }

    /// Items of the whole tree.
    pub(crate) fn items(&self) -> u64 {
        self.root.iter().map(Node::items).sum()
    }

    /// What a splitter finds at a page's cursor.
    pub(crate) fn split(&self, source: &PageSource) -> Split {
        let path: Vec<usize> = match source.batch {
            1 => Vec::new(),
            _ => serde_json::from_slice(&source.definition).unwrap(),
        };
        let mut nodes = &self.root;
        for step in &path {
            let Node::Batch(children) = &nodes[*step] else {
                panic!("an item has no children")
            };
            nodes = children;
        }
        let from: usize = source
            .cursor
            .as_ref()
            .map_or(0, |cursor| serde_json::from_slice(cursor).unwrap());
        let to = nodes.len().min(from + source.limit.min(self.page) as usize);
        let child = |at: usize| match &nodes[at] {
            Node::Item => Child::Item,
            node @ Node::Batch(_) => Child::Batch {
                definition: serde_json::to_vec(&[path.clone(), vec![at]].concat()).unwrap(),
                total: self.declared.then(|| node.items()),
            },
        };
        Split {
            children: (from..to).map(child).collect(),
            next: (to < nodes.len()).then(|| serde_json::to_vec(&to).unwrap()),
            total: self.declared.then(|| self.items()),
            limit: source.limit,
            hash: (from as i64) << 32 | to as i64,
            stored: (!self.reproducible).then(|| format!("{path:?} {from}..{to}").into_bytes()),
        }
    }
}
