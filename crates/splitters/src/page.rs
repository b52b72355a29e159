//! Pages, and the builder that keeps them within their bounds.

use serde_json::Value;

use crate::definition::json_len;
use crate::{Definition, SplitError};

/// How many children a page has at most.
pub const MAX_PAGE_CHILDREN: usize = 4096;
/// How many bytes the children of a page take together when encoded, and one child alone: 1 MiB.
pub const MAX_PAGE_BYTES: usize = 1 << 20;
/// How long a cursor is at most, in bytes.
pub const MAX_CURSOR_BYTES: usize = 4096;

/// One child of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Child {
    /// A leaf, as the item template sees it.
    Item(Value),
    /// A batch of its own, read by the same splitter.
    Batch {
        /// What to split.
        definition: Definition,
        /// Exactly how many items there are in and below it, if known.
        total: Option<u64>,
    },
}

impl Child {
    /// How many bytes the child takes when encoded.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        match self {
            Self::Item(item) => json_len(item),
            Self::Batch { definition, .. } => definition.encoded_len(),
        }
    }
}

/// Consecutive children of one batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The children in order.
    pub children: Vec<Child>,
    /// The cursor of the page that follows, at most [`MAX_CURSOR_BYTES`] long; `None` if the batch
    /// is exhausted.
    pub next: Option<Vec<u8>>,
}

impl Page {
    /// Checks what a splitter answered to a request with this cursor and limit.
    ///
    /// # Errors
    /// [`SplitError::Invalid`] if the page is too large, its cursor too long, or nothing has moved.
    pub fn check(&self, cursor: Option<&[u8]>, limit: usize) -> Result<(), SplitError> {
        let fault = |sentence: String| Err(SplitError::Invalid(sentence));
        if self.children.len() > limit {
            return fault(format!(
                "the splitter answered with {} children, more than {limit}",
                self.children.len()
            ));
        }
        let bytes: usize = self.children.iter().map(Child::encoded_len).sum();
        if bytes > MAX_PAGE_BYTES {
            return fault(format!(
                "the splitter answered with {bytes} bytes, more than {MAX_PAGE_BYTES}"
            ));
        }
        let Some(next) = self.next.as_deref() else {
            return Ok(());
        };
        if next.is_empty() {
            return fault("the splitter answered with an empty cursor".to_owned());
        }
        if next.len() > MAX_CURSOR_BYTES {
            return fault(format!(
                "the splitter answered with a cursor of {} bytes, more than {MAX_CURSOR_BYTES}",
                next.len()
            ));
        }
        if cursor == Some(next) {
            return fault("the splitter answered with the cursor that it was given".to_owned());
        }
        Ok(())
    }
}

/// Gathers children up to the bounds of a page.
#[derive(Debug)]
pub struct PageBuilder {
    limit: usize,
    bytes: usize,
    children: Vec<Child>,
}

impl PageBuilder {
    /// An empty page of at most `limit` children.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.clamp(1, MAX_PAGE_CHILDREN),
            bytes: 0,
            children: Vec::new(),
        }
    }

    /// Adds a child. `false` if it does not fit any more: then the page ends before it.
    ///
    /// # Errors
    /// [`SplitError::Invalid`] if the child alone is larger than [`MAX_PAGE_BYTES`].
    pub fn push(&mut self, child: Child) -> Result<bool, SplitError> {
        let bytes = child.encoded_len();
        if bytes > MAX_PAGE_BYTES {
            return Err(SplitError::invalid(format!(
                "an item or sub-batch takes {bytes} bytes as JSON, more than {MAX_PAGE_BYTES}"
            )));
        }
        if self.is_full() || self.bytes + bytes > MAX_PAGE_BYTES {
            return Ok(false);
        }
        self.bytes += bytes;
        self.children.push(child);
        Ok(true)
    }

    /// Whether the page has as many children as it may have.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.children.len() >= self.limit
    }

    /// Whether the page has no child yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// The page; `next` as in [`Page::next`].
    #[must_use]
    pub fn finish(self, next: Option<Vec<u8>>) -> Page {
        Page {
            children: self.children,
            next,
        }
    }
}

/// A cursor that is a number.
pub(crate) fn number_cursor(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// The number in a cursor, 0 for the first page.
///
/// # Errors
/// [`SplitError::Invalid`] if the cursor is not a number.
pub(crate) fn read_number_cursor(cursor: Option<&[u8]>) -> Result<u64, SplitError> {
    let Some(bytes) = cursor else { return Ok(0) };
    bytes
        .try_into()
        .map(u64::from_be_bytes)
        .map_err(|_| unreadable_cursor())
}

/// The error for a cursor that this splitter cannot have made.
pub(crate) fn unreadable_cursor() -> SplitError {
    SplitError::invalid("the cursor cannot be read")
}

/// A page of a slice that is all in memory; the cursor is the index of the next element.
///
/// # Errors
/// [`SplitError::Invalid`] if the cursor is not one of this slice, or a child is too large.
pub(crate) fn slice_page(
    values: &[Value],
    cursor: Option<&[u8]>,
    limit: usize,
    child: impl Fn(&Value) -> Result<Child, SplitError>,
) -> Result<Page, SplitError> {
    let start = usize::try_from(read_number_cursor(cursor)?).map_err(|_| unreadable_cursor())?;
    let rest = values.get(start..).ok_or_else(unreadable_cursor)?;
    let mut page = PageBuilder::new(limit);
    for (offset, value) in rest.iter().enumerate() {
        if page.is_full() || !page.push(child(value)?)? {
            let next = u64::try_from(start + offset).map_err(|_| unreadable_cursor())?;
            return Ok(page.finish(Some(number_cursor(next))));
        }
    }
    Ok(page.finish(None))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(bytes: usize) -> Child {
        // Two of the bytes are the quotes.
        Child::Item(json!("x".repeat(bytes - 2)))
    }

    #[test]
    fn a_page_ends_at_its_limit_or_its_bytes() {
        let mut page = PageBuilder::new(2);
        assert!(page.push(item(10)).unwrap());
        assert!(page.push(item(MAX_PAGE_BYTES - 10)).unwrap());
        assert!(page.is_full());
        assert!(!page.push(item(10)).unwrap());

        let mut page = PageBuilder::new(MAX_PAGE_CHILDREN);
        assert!(page.push(item(MAX_PAGE_BYTES)).unwrap());
        assert!(!page.push(item(3)).unwrap());
        assert_eq!(page.finish(None).children.len(), 1);
    }

    #[test]
    fn a_child_above_the_bound_is_invalid() {
        let result = PageBuilder::new(1).push(item(MAX_PAGE_BYTES + 1));
        assert!(matches!(result, Err(SplitError::Invalid(_))));
    }

    #[test]
    fn a_page_is_checked_against_its_request() {
        let page = |count: usize, next: Option<&[u8]>| Page {
            children: vec![item(10); count],
            next: next.map(<[u8]>::to_vec),
        };
        assert_eq!(page(2, Some(b"b")).check(Some(b"a"), 2), Ok(()));
        assert_eq!(page(0, None).check(Some(b"a"), 2), Ok(()));
        assert!(page(3, None).check(None, 2).is_err());
        assert!(page(1, Some(b"a")).check(Some(b"a"), 2).is_err());
        assert!(page(1, Some(b"")).check(None, 2).is_err());
        assert!(
            page(1, Some(&[0; MAX_CURSOR_BYTES + 1]))
                .check(None, 2)
                .is_err()
        );
        let large = Page {
            children: vec![item(MAX_PAGE_BYTES), item(3)],
            next: None,
        };
        assert!(large.check(None, 2).is_err());
    }
}
