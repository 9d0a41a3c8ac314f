//! The loss around a layer's matrices: gradients, and the two factors of the Hessian's Kronecker approximation (KFAC, Martens and Grosse
//! 2015, arXiv 1503.05671).
//!
//! For a matrix `W: [rows, cols]` with inputs `x_t` and gradients `g_t` of the summed loss at its outputs, means over tokens:
//! `A = E[x x^T]`, `G = E[g g^T]`, `D = dL/dW = E[g x^T]`, and `H vec(Delta) = vec(G Delta A)`.

use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// The question of [`Host::layer_curvature`](crate::Host::layer_curvature).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CurvatureRequest {
    /// Index of the layer.
    pub layer: usize,
    /// Public windows to take it over; the same windows for every layer, fewer where there are fewer.
    pub windows: u32,
}

impl CurvatureRequest {
    /// Curvature of a layer over so many windows.
    #[must_use]
    pub fn new(layer: usize, windows: u32) -> Self {
        Self { layer, windows }
    }
}

/// The loss around one matrix. `T` is [`Tensor`] for an author.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Curvature<T = Tensor> {
    /// `A`, `[cols, cols]`.
    pub input: T,
    /// `G`, `[rows, rows]`.
    pub output: T,
    /// `D`, `[rows, cols]`.
    pub gradient: T,
}

impl<T> Curvature<T> {
    /// These moments. For hosts.
    #[must_use]
    pub fn new(input: T, output: T, gradient: T) -> Self {
        Self { input, output, gradient }
    }
}

impl<T> Curvature<T> {
    /// The same with every tensor put through `f`.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn try_map<U, E>(self, f: &mut dyn FnMut(T) -> Result<U, E>) -> Result<Curvature<U>, E> {
        Ok(Curvature { input: f(self.input)?, output: f(self.output)?, gradient: f(self.gradient)? })
    }
}
