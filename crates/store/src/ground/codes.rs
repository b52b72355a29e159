//! States and kinds as they are stored: numbers that are never changed.

use crate::error::StoreError;

/// A type whose values are stored as numbers.
pub(crate) trait Code: Sized {
    /// The number that is stored.
    fn code(self) -> i64;

    /// The value of a stored number.
    ///
    /// # Errors
    /// [`StoreError::Broken`] where this version does not know the number.
    fn of(code: i64) -> Result<Self, StoreError>;
}

/// Gives a type its codes: one list for both directions, and what to say of an unknown `{code}`.
macro_rules! codes {
    ($Type:ident, $unknown:literal, { $($Variant:ident = $code:literal),* $(,)? }) => {
        impl $crate::ground::codes::Code for $Type {
            fn code(self) -> i64 {
                match self {
                    $(Self::$Variant => $code,)*
                }
            }

            fn of(code: i64) -> Result<Self, $crate::error::StoreError> {
                match code {
                    $($code => Ok(Self::$Variant),)*
                    _ => Err($crate::error::StoreError::Broken(format!($unknown, code = code))),
                }
            }
        }
    };
}
pub(crate) use codes;

#[cfg(test)]
mod tests {
    use super::Code;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Light {
        Red,
        Green,
    }

    codes!(Light, "light {code} is unknown", {
        Red = 1,
        Green = 3,
    });

    #[test]
    fn codes_go_both_ways() {
        for light in [Light::Red, Light::Green] {
            assert_eq!(Light::of(light.code()).unwrap(), light);
        }
        let unknown = Light::of(2).unwrap_err().to_string();
        assert!(unknown.ends_with("light 2 is unknown"), "{unknown}");
    }
}
