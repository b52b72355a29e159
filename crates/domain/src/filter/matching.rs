//! Whether a job matches a filter: the same answer as the store's statement gives.

use super::{Comparison, Filter, TextField, TextTest, TimeField};
use crate::jobs::job::Job;

/// One percent in millionths.
pub const MILLIONTHS_PER_PERCENT: f64 = 10_000.0;

impl Filter {
    /// Whether the job matches now.
    pub fn matches(&self, job: &Job) -> bool {
        self.told_by(&|part| Some(part.holds(job))) == Some(true)
    }

    /// The answer that stays whatever happens to the job, except a change of its spec; `None` if it
    /// may change.
    pub fn always(&self, job: &Job) -> Option<bool> {
        self.told_by(&|part| {
            let fixed = match part {
                Self::Text(..) | Self::Time(TimeField::Create, ..) => true,
                // Of the fields that filters read, a change of the spec changes only labels.
                Self::Label(..) => job.meta.version == 0,
                _ => false,
            };
            fixed.then(|| part.holds(job))
        })
    }

    /// The answer that follows from the answers to single restrictions, some of them unknown (the
    /// three-valued logic of Kleene, 1938).
    fn told_by(&self, of: &impl Fn(&Self) -> Option<bool>) -> Option<bool> {
        match self {
            Self::All(parts) => decided(parts, of, false),
            Self::Any(parts) => decided(parts, of, true),
            Self::Not(part) => part.told_by(of).map(|is| !is),
            _ => of(self),
        }
    }

    /// Whether a single restriction holds.
    fn holds(&self, job: &Job) -> bool {
        let meta = &job.meta;
        match self {
            Self::State(state) => job.state() == *state,
            Self::Text(field, test) => test.passes(match field {
                TextField::Id => meta.name.job.as_str(),
                TextField::DisplayName => &meta.spec.display_name,
                TextField::CreatedBy => &meta.creator,
                TextField::Pipe => meta.spec.pipe().as_str(),
            }),
            Self::Label(name, test) => meta
                .spec
                .labels
                .get(name)
                .is_some_and(|value| test.as_ref().is_none_or(|test| test.passes(value))),
            Self::Percentage(comparison, percent) => comparison.holds(
                f64::from(job.percent_mark),
                percent * MILLIONTHS_PER_PERCENT,
            ),
            Self::Time(field, comparison, time) => {
                let of_job = match field {
                    TimeField::Create => Some(meta.created),
                    TimeField::Start => job.started,
                    TimeField::Update => Some(job.updated),
                    TimeField::End => job.ended,
                };
                of_job.is_some_and(|of_job| of_job > 0 && comparison.holds(of_job, *time))
            }
            Self::All(_) | Self::Any(_) | Self::Not(_) => false,
        }
    }
}

/// `deciding` as soon as one part gives it, the contrary if all parts give that, else unknown.
fn decided(
    parts: &[Filter],
    of: &impl Fn(&Filter) -> Option<bool>,
    deciding: bool,
) -> Option<bool> {
    let mut all = Some(!deciding);
    for part in parts {
        match part.told_by(of) {
            Some(is) if is == deciding => return Some(deciding),
            Some(_) => {}
            None => all = None,
        }
    }
    all
}

impl Comparison {
    fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl TextTest {
    fn passes(&self, text: &str) -> bool {
        let parts = match self {
            Self::Equals(other) => return text == other,
            Self::Pattern(parts) => parts.as_slice(),
        };
        let [first, middle @ .., last] = parts else {
            // Without a `*` it is no pattern.
            return parts.first().is_none_or(|only| only == text);
        };
        let rest = text.strip_prefix(first.as_str());
        let Some(mut rest) = rest.and_then(|rest| rest.strip_suffix(last.as_str())) else {
            return false;
        };
        // The leftmost place leaves the most for the parts that follow.
        middle.iter().all(|part| match rest.find(part.as_str()) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passes(pattern: &str, text: &str) -> bool {
        TextTest::new(pattern).passes(text)
    }

    #[test]
    fn patterns() {
        for (pattern, text) in [
            ("a", "a"),
            ("*", ""),
            ("a*", "a"),
            ("*a", "ba"),
            ("a*a", "aa"),
            ("a**b", "ab"),
            ("*b*d*", "abcd"),
            ("a*bc*bcd", "abcbcd"),
        ] {
            assert!(passes(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("a", "A"),
            ("a", "ab"),
            ("a*a", "a"),
            ("*b*a*", "ab"),
            ("a*bc*bcd", "abcd"),
        ] {
            assert!(!passes(pattern, text), "{pattern} {text}");
        }
    }

    /// A pattern the slow way: every place of every part.
    fn slowly(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|at| slowly(rest, &text[at..])),
            Some((first, rest)) => text.first() == Some(first) && slowly(rest, &text[1..]),
        }
    }

    fn unknown() -> impl Strategy<Value = Filter> {
        let leaf =
            (0..4usize).prop_map(|number| Filter::Percentage(Comparison::Equal, number as f64));
        leaf.prop_recursive(4, 16, 4, |inner| {
            let parts = proptest::collection::vec(inner.clone(), 0..4);
            prop_oneof![
                parts.clone().prop_map(Filter::All),
                parts.prop_map(Filter::Any),
                inner.prop_map(|part| Filter::Not(Box::new(part))),
            ]
        })
    }

    fn number(part: &Filter) -> usize {
        match part {
            Filter::Percentage(_, number) => *number as usize,
            _ => panic!("{part:?}"),
        }
    }

    proptest! {
        #[test]
        fn patterns_of_all_kinds(pattern in "[ab*é]{0,8}", text in "[abé]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(passes(&pattern, &text), slowly(&chars(&pattern), &chars(&text)));
        }

        /// An answer without knowing some restrictions holds whatever these turn out to be.
        #[test]
        fn unknown_restrictions(filter in unknown(), known in 0..16u8, values in 0..16u8) {
            let bit = |bits: u8, part: &Filter| bits & (1 << number(part)) != 0;
            let told = filter.told_by(&|part| bit(known, part).then(|| bit(values, part)));
            let all: Vec<_> = (0..16u8)
                .filter(|others| others & known == values & known)
                .map(|others| filter.told_by(&|part| Some(bit(others, part))))
                .collect();
            prop_assert!(all.iter().all(Option::is_some));
            if told.is_some() {
                prop_assert!(all.iter().all(|each| *each == told));
            }
            if known == 15 {
                prop_assert!(told.is_some());
            }
        }
    }
}
