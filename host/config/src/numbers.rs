//! Numbers whose type says their range, so that nothing after parsing asks again.
//!
//! TOML has NaN, and `x < 0.0 || x > 1.0` is false for it: every test here is of the good range, which NaN fails.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A number outside the range of its type.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("found {found}, expected {expected}")]
pub struct OutOfRange {
    found: f64,
    expected: &'static str,
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $range:pat, $schema:tt) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        impl $name {
            /// The number, if it lies in the range.
            ///
            /// # Errors
            /// The number and the range.
            pub fn new(value: f64) -> Result<Self, OutOfRange> {
                // Zero is one number: a sign on it must not reach a digest.
                let value = if value == 0.0 { 0.0 } else { value };
                match value {
                    $range if value.is_finite() => Ok(Self(value)),
                    found => Err(OutOfRange { found, expected: $expected }),
                }
            }

            /// The plain number.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = OutOfRange;
            fn try_from(value: f64) -> Result<Self, OutOfRange> {
                Self::new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(number: $name) -> f64 {
                number.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

number!(
    /// A share: finite and within 0 to 1, both included.
    Ratio, "a number from 0 to 1", 0.0..=1.0, { "type": "number", "minimum": 0, "maximum": 1 }
);
number!(
    /// A finite number above 0.
    Positive, "a number above 0", f64::MIN_POSITIVE.., { "type": "number", "exclusiveMinimum": 0 }
);
number!(
    /// A learning rate of AdamW, whose steps are about as long as the rate: above 0, and far beyond any that learns.
    Rate, "a number above 0 and at most 1000", f64::MIN_POSITIVE..=1000.0,
    { "type": "number", "exclusiveMinimum": 0, "maximum": 1000 }
);
number!(
    /// AdamW's decay of weights, as a share of the learning rate: 0 to far beyond any that leaves something.
    Decay, "a number from 0 to 1000", 0.0..=1000.0, { "type": "number", "minimum": 0, "maximum": 1000 }
);
number!(
    /// AdamW's addend to the root of a second moment: above 0; where it is large beside the gradients, steps follow these alone.
    Epsilon, "a number above 0 and at most 1000000", f64::MIN_POSITIVE..=1e6,
    { "type": "number", "exclusiveMinimum": 0, "maximum": 1000000 }
);
number!(
    /// A finite number, 0 or more.
    NonNegative, "a number of at least 0", 0.0.., { "type": "number", "minimum": 0 }
);
number!(
    /// A decay of AdamW: from 0 up to, but without, 1.
    Momentum, "a number from 0 to below 1", 0.0..1.0,
    { "type": "number", "minimum": 0, "exclusiveMaximum": 1 }
);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_hold_at_their_ends() {
        assert!(Ratio::new(0.0).is_ok() && Ratio::new(1.0).is_ok() && Ratio::new(1.000_000_1).is_err());
        assert!(Positive::new(0.0).is_err() && Positive::new(1e-300).is_ok());
        assert!(NonNegative::new(0.0).is_ok() && NonNegative::new(-1e-9).is_err());
        assert!(Rate::new(0.0).is_err() && Rate::new(1000.0).is_ok() && Rate::new(1e30).is_err());
        assert!(Decay::new(0.0).is_ok() && Decay::new(1000.1).is_err());
        assert!(Epsilon::new(1e6).is_ok() && Epsilon::new(1.1e6).is_err() && Epsilon::new(0.0).is_err());
        assert!(Momentum::new(0.999).is_ok() && Momentum::new(1.0).is_err());
        assert_eq!(Ratio::new(-0.1).unwrap_err().to_string(), "found -0.1, expected a number from 0 to 1");
        assert_eq!(Ratio::new(f64::NAN).unwrap_err().to_string(), "found NaN, expected a number from 0 to 1");
        assert!(Ratio::new(-0.0).unwrap().get().is_sign_positive());
    }

    proptest! {
        #[test]
        fn what_is_taken_is_finite(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            for taken in [Ratio::new(value).map(Ratio::get), Positive::new(value).map(Positive::get), NonNegative::new(value).map(NonNegative::get)] {
                prop_assert!(taken.is_err() || value.is_finite());
            }
        }
    }
}
