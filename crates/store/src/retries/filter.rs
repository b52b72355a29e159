//! Which failures a call is about.

use sea_orm::Value;

use crate::{
    db::{Db, keys},
    slice::rows::failure::WHOLE_PAGE,
};

/// Which failures match; what is empty leaves out none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailureFilter {
    /// With one of these codes.
    pub codes: Vec<String>,
    /// In one of these batches, or below.
    pub batches: Vec<u32>,
    /// Of these items, by page and index; without an index of the page that could not be split.
    pub items: Vec<(u32, Option<u32>)>,
}

impl FailureFilter {
    /// Whether all failures match.
    pub fn is_everything(&self) -> bool {
        self.codes.is_empty() && self.batches.is_empty() && self.items.is_empty()
    }

    /// The condition that a failure `f` of the job bound as $1 matches, and the values bound from
    /// $`first` on.
    pub(crate) fn condition(&self, db: &Db, first: usize) -> (String, Vec<Value>) {
        let mut parts = vec![format!("f.idx >= {WHOLE_PAGE}")];
        let mut values: Vec<Value> = Vec::new();
        if !self.codes.is_empty() {
            values.push(keys::texts(&self.codes));
            let codes = db.texts(first + values.len() - 1);
            parts.push(format!("f.code IN ({codes})"));
        }
        if !self.batches.is_empty() {
            values.push(keys::ints(self.batches.iter().copied().map(i64::from)));
            let among = db.is_in("b.number", first + values.len() - 1);
            parts.push(format!(
                "f.page IN (WITH RECURSIVE below AS ( \
                   SELECT b.number FROM batch b WHERE b.job_key = $1 AND {among} \
                   UNION SELECT b.number FROM batch b JOIN below o ON b.job_key = $1 AND b.parent = o.number \
                 ) SELECT p.number FROM page p JOIN below o ON p.job_key = $1 AND p.batch = o.number)"
            ));
        }
        if !self.items.is_empty() {
            let items = self.items.iter();
            let items =
                items.map(|(page, index)| (i64::from(*page), index.map_or(WHOLE_PAGE, i64::from)));
            values.push(keys::pairs(items));
            let pairs = db.pairs("k", first + values.len() - 1);
            parts.push(format!("(f.page, f.idx) IN (SELECT k.a, k.b FROM {pairs})"));
        }
        (parts.join(" AND "), values)
    }
}
