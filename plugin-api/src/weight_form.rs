//! The form of a matrix in a bundle: whole, or as two factors.

use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// The form of a matrix. A bundle knows these two and no other, so the set is closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "snake_case")]
pub enum WeightForm<T = Tensor> {
    /// All of it, `[rows, cols]`.
    Dense {
        /// The matrix.
        weight: T,
    },
    /// As a product `left right`, `left: [rows, r]`, `right: [r, cols]`.
    Factored {
        /// `[rows, r]`.
        left: T,
        /// `[r, cols]`.
        right: T,
    },
}

impl<T> WeightForm<T> {
    /// The same form with every tensor put through `f`.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn try_map<U, E>(self, f: &mut dyn FnMut(T) -> Result<U, E>) -> Result<WeightForm<U>, E> {
        Ok(match self {
            Self::Dense { weight } => WeightForm::Dense { weight: f(weight)? },
            Self::Factored { left, right } => WeightForm::Factored { left: f(left)?, right: f(right)? },
        })
    }
}
