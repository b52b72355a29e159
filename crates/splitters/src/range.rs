//! The `range` splitter: integers, by halves down to pages, with exact totals.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::definition::{bounded, integer};
use crate::page::{number_cursor, read_number_cursor, unreadable_cursor};
use crate::{
    Child, Definition, MAX_PAGE_CHILDREN, Page, PageBuilder, PageRequest, SplitError, Splitter,
};

/// Splits the integers `from`, `from + step`, ... below `to`; an item is the integer itself.
///
/// More than `page` integers are two sub-batches, cut at a whole number of pages, so that batch
/// workers find the pages of a large range in parallel and after a number of steps that grows with
/// the logarithm of its size.
#[derive(Debug, Clone, Copy, Default)]
pub struct Range;

/// The definition as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(deserialize_with = "integer")]
    from: i64,
    #[serde(deserialize_with = "integer")]
    to: i64,
    #[serde(default = "one", deserialize_with = "integer")]
    step: i64,
    #[serde(default = "full_page", deserialize_with = "integer")]
    page: i64,
}

fn one() -> i64 {
    1
}

fn full_page() -> i64 {
    4096
}

/// A definition that was checked.
struct Span {
    from: i64,
    to: i64,
    step: i64,
    page: u64,
    count: u64,
}

impl Span {
    fn read(definition: &Definition) -> Result<Self, SplitError> {
        let Written {
            from,
            to,
            step,
            page,
        } = definition.read("range")?;
        if step < 1 {
            return Err(SplitError::invalid(format!(
                "`step` must be at least 1, not {step}"
            )));
        }
        let page = bounded("page", page, 1, MAX_PAGE_CHILDREN)?;
        // In 128 bits no difference of two 64-bit integers overflows.
        let width = i128::from(to) - i128::from(from);
        let steps = (width + i128::from(step) - 1) / i128::from(step);
        let count = u64::try_from(steps.max(0)).map_err(|_| too_large())?;
        Ok(Self {
            from,
            to,
            step,
            page: u64::try_from(page).map_err(|_| too_large())?,
            count,
        })
    }

    /// The integer at this index, which is below `count`.
    fn at(&self, index: u64) -> Result<i64, SplitError> {
        let value = i128::from(self.from) + i128::from(index) * i128::from(self.step);
        i64::try_from(value).map_err(|_| too_large())
    }

    /// The two sub-batches of a span of more than one page.
    fn halves(&self) -> Result<[Child; 2], SplitError> {
        let left = self.count.div_ceil(self.page).div_ceil(2) * self.page;
        let middle = self.at(left)?;
        Ok([
            self.part(self.from, middle, left),
            self.part(middle, self.to, self.count - left),
        ])
    }

    fn part(&self, from: i64, to: i64, count: u64) -> Child {
        Child::Batch {
            definition: Definition::Json(
                json!({"from": from, "to": to, "step": self.step, "page": self.page}),
            ),
            total: Some(count),
        }
    }
}

fn too_large() -> SplitError {
    SplitError::invalid("the range leaves the 64-bit integers")
}

#[async_trait]
impl Splitter for Range {
    fn name(&self) -> &str {
        "range"
    }

    fn reproducible(&self) -> bool {
        true
    }

    fn total(&self, definition: &Definition, _: &Value) -> Result<Option<u64>, SplitError> {
        Span::read(definition).map(|span| Some(span.count))
    }

    async fn page(&self, request: PageRequest<'_>) -> Result<Page, SplitError> {
        let span = Span::read(request.definition)?;
        let start = read_number_cursor(request.cursor)?;
        let whole = if span.count <= span.page {
            span.count
        } else {
            2
        };
        let limit = u64::try_from(request.limit).map_err(|_| unreadable_cursor())?;
        let end = start.saturating_add(limit).min(whole);
        if start > whole {
            return Err(unreadable_cursor());
        }
        let mut page = PageBuilder::new(request.limit);
        if span.count <= span.page {
            for index in start..end {
                page.push(Child::Item(Value::from(span.at(index)?)))?;
            }
        } else {
            for (index, half) in (0..).zip(span.halves()?) {
                if (start..end).contains(&index) {
                    page.push(half)?;
                }
            }
        }
        Ok(page.finish((end < whole).then(|| number_cursor(end))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Permutation, Walk, invalid, walk};

    fn total(definition: Value) -> Result<Option<u64>, SplitError> {
        Range.total(&Definition::Json(definition), &Value::Null)
    }

    proptest! {
        #[test]
        fn every_integer_is_found_once(
            from in prop_oneof![-10_000..10_000i64, Just(i64::MIN), (i64::MAX - 3000)..=i64::MAX],
            width in 0..3000i64,
            step in prop_oneof![1..50i64, Just(i64::MAX)],
            page in 1..200i64,
            seed: u64,
        ) {
            let to = from.saturating_add(width);
            let expected: Vec<Value> = std::iter::successors(Some(from), |value| value.checked_add(step))
                .take_while(|value| *value < to)
                .map(Value::from)
                .collect();
            let definition = json!({"from": from, "to": to, "step": step, "page": page});
            prop_assert_eq!(total(definition.clone()).unwrap(), Some(expected.len() as u64));
            prop_assert!(walk(&Range, Definition::Json(definition), seed).is_permutation_of(&expected));
        }

        /// Walks from the root to one leaf of a range that is too large to walk whole.
        #[test]
        fn any_path_down_a_huge_range_ends_in_a_page(
            from: i64, to: i64, step in prop_oneof![1..9i64, 1..=i64::MAX], turns: u64,
        ) {
            let mut definition = Definition::Json(json!({"from": from, "to": to, "step": step}));
            let mut known = Range.total(&definition, &Value::Null).unwrap().unwrap();
            for depth in 0.. {
                prop_assert!(depth < 64);
                let page = Walk::page(&Range, &definition, None, 4096);
                if known <= 4096 {
                    prop_assert_eq!(page.children.len() as u64, known);
                    break;
                }
                let totals = page.children.iter().map(|child| match child {
                    Child::Batch { total, .. } => total.unwrap(),
                    Child::Item(_) => 0,
                });
                prop_assert_eq!(totals.sum::<u64>(), known);
                let turn = usize::try_from(turns >> depth & 1).unwrap();
                let Child::Batch { definition: half, total } = page.children[turn].clone() else { unreachable!() };
                prop_assert_eq!(Range.total(&half, &Value::Null).unwrap(), total);
                known = total.unwrap();
                definition = half;
            }
        }
    }

    #[test]
    fn extremes_are_counted_exactly() {
        let all = json!({"from": i64::MIN, "to": i64::MAX});
        assert_eq!(total(all), Ok(Some(u64::MAX)));
        let strings = json!({"from": "-9223372036854775808", "to": "9223372036854775807", "step": "9223372036854775807"});
        assert_eq!(total(strings.clone()), Ok(Some(3)));
        let found = walk(&Range, Definition::Json(strings), 1);
        assert!(found.is_permutation_of(&[i64::MIN, -1, i64::MAX - 1].map(Value::from)));
        assert_eq!(total(json!({"from": 5, "to": 5})), Ok(Some(0)));
        assert_eq!(total(json!({"from": 9, "to": -9})), Ok(Some(0)));
        assert_eq!(
            total(json!({"from": 0.0, "to": 10.0, "step": 3.0})),
            Ok(Some(4))
        );
    }

    #[test]
    fn a_million_integers_are_few_pages_and_few_steps_deep() {
        let walked = Walk::run(
            &Range,
            Definition::Json(json!({"from": 0, "to": 1_000_000})),
            0,
            |_| 4096,
        );
        assert_eq!(walked.leaves.len(), 1_000_000);
        assert!(walked.pages < 500, "{} pages", walked.pages);
        assert!(walked.depth <= 9, "{} deep", walked.depth);
    }

    /// Halves are cut at whole pages, so that only the last page is short.
    #[test]
    fn all_pages_but_the_last_are_full() {
        for (count, leaves) in [(95, 10), (100, 10), (101, 11), (10, 1)] {
            let definition = json!({"from": 0, "to": count, "page": 10});
            let walked = Walk::run(&Range, Definition::Json(definition), 0, |_| 4096);
            assert_eq!(walked.pages, 2 * leaves - 1, "{count}");
        }
    }

    #[test]
    fn wrong_definitions_are_invalid() {
        for (wrong, part) in [
            (json!({"from": 1}), "missing field `to`"),
            (
                json!({"from": 1, "to": 2, "stop": 3}),
                "unknown field `stop`",
            ),
            (json!({"from": 1, "to": 2, "step": 0}), "`step`"),
            (json!({"from": 1, "to": 2, "step": -1}), "`step`"),
            (
                json!({"from": 1, "to": 2, "page": 4097}),
                "`page` must be 1 to 4096",
            ),
            (json!({"from": 0.5, "to": 2}), "integer"),
            (json!([1, 2]), "must be an object"),
        ] {
            invalid(&Range, &Definition::Json(wrong), part);
        }
    }
}
