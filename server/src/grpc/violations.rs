//! Collects what is wrong with a request, so that a client learns of everything at once.

use headway_domain::{Error, FieldViolation};

/// Violations that are kept; one more says how a request looks, not what is wrong with it.
const KEPT: usize = 32;

/// What is wrong with a request so far.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<FieldViolation>);

impl Violations {
    /// Notes that a field is wrong.
    pub(crate) fn push(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.add(FieldViolation {
            field: field.into(),
            description: description.into(),
        });
    }

    /// Notes that a field is wrong unless the condition holds.
    pub(crate) fn check(&mut self, holds: bool, field: &str, description: impl FnOnce() -> String) {
        if !holds {
            self.push(field, description());
        }
    }

    /// The value, or `None` and what is wrong with it. An error that is not about fields is none
    /// that a conversion gives; it is noted without a field.
    pub(crate) fn take<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(Error::Invalid(list)) => {
                for violation in list {
                    self.add(violation);
                }
                None
            }
            Err(other) => {
                self.push("", other.to_string());
                None
            }
        }
    }

    /// The error, if anything is wrong.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(self.0))
        }
    }

    /// What was taken, or the error if anything is wrong.
    pub(crate) fn values<T: Taken>(self, taken: T) -> Result<T::Values, Error> {
        let wrong = self.finish().err();
        match (wrong, taken.values()) {
            (None, Some(values)) => Ok(values),
            (Some(error), _) => Err(error),
            // Does not happen: what is missing was refused, and noted here.
            (None, None) => Err(Error::Invalid(Vec::new())),
        }
    }

    fn add(&mut self, violation: FieldViolation) {
        if self.0.len() < KEPT {
            self.0.push(violation);
        }
    }
}

/// Several results of [`Violations::take`].
pub(crate) trait Taken {
    /// The values without their options.
    type Values;
    /// The values, if all are there.
    fn values(self) -> Option<Self::Values>;
}

macro_rules! taken {
    ($($name:ident),+) => {
        impl<$($name),+> Taken for ($(Option<$name>,)+) {
            type Values = ($($name,)+);

            #[allow(non_snake_case)]
            fn values(self) -> Option<Self::Values> {
                let ($($name,)+) = self;
                Some(($($name?,)+))
            }
        }
    };
}

taken!(A);
taken!(A, B);
taken!(A, B, C);
taken!(A, B, C, D);
taken!(A, B, C, D, E);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_named_up_to_a_bound() {
        let mut violations = Violations::default();
        violations.check(true, "a", || "unused".to_owned());
        assert_eq!(violations.take(Ok(1)), Some(1));
        assert!(
            violations
                .take::<()>(Err(Error::field("b", "is bad")))
                .is_none()
        );
        violations.check(false, "c", || "is worse".to_owned());
        assert_eq!(violations.0.len(), 2);
        for _ in 0..100 {
            violations.push("d", "again");
        }
        assert_eq!(violations.0.len(), KEPT);
        assert!(violations.finish().is_err());
        assert!(Violations::default().finish().is_ok());
    }

    #[test]
    fn values_come_only_where_nothing_is_wrong() {
        let all = |violations: Violations| violations.values((Some(1), Some("a")));
        assert_eq!(all(Violations::default()), Ok((1, "a")));
        let mut violations = Violations::default();
        violations.push("b", "is bad");
        assert_eq!(all(violations), Err(Error::field("b", "is bad")));
        assert!(Violations::default().values((None::<u8>,)).is_err());
    }
}
