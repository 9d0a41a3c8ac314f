//! A weight as it is stored: whole, or as the product of two factors.

use super::{Result, Tensor};

/// A matrix in one piece or in two.
#[derive(Clone, Debug)]
pub enum WeightForm {
    /// The whole matrix, `[rows, cols]`.
    Dense(Tensor),
    /// `left · right`, with `left` `[rows, r]` and `right` `[r, cols]`.
    Factored { left: Tensor, right: Tensor },
}

impl WeightForm {
    /// The whole matrix, multiplied out if it is in factors.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn dense(&self) -> Result<Tensor> {
        match self {
            WeightForm::Dense(weight) => Ok(weight.clone()),
            WeightForm::Factored { left, right } => left.matmul(right),
        }
    }

    /// The matrix, or both factors.
    pub fn tensors(&self) -> Vec<&Tensor> {
        match self {
            WeightForm::Dense(weight) => vec![weight],
            WeightForm::Factored { left, right } => vec![left, right],
        }
    }

    /// The matrix, or both factors, to be changed.
    pub fn tensors_mut(&mut self) -> Vec<&mut Tensor> {
        match self {
            WeightForm::Dense(weight) => vec![weight],
            WeightForm::Factored { left, right } => vec![left, right],
        }
    }
}
