//! Local fitting: what a replacer may ask to bring its substitutes near their layers before any training through the model.
//!
//! All from frozen forward passes of the full model: `x` goes into a layer, `y` comes out, `change = y - x`, tokens are rows.
//! A few tokens carry states a thousand times as large as the others; [`TokenWeight`] says how much a token counts.

use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// The weight of a token in a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenWeight {
    /// All alike: plain least squares.
    Uniform,
    /// `1 / ||y||^2`: the error relative to the state counts.
    Output,
    /// `1 / ||y - x||^2`: the error relative to what the layer does counts.
    Change,
}

/// One forward pass of the full model, then gradient steps of every trainable substitute towards its own layer's output.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FitStep {
    /// AdamW's learning rate.
    pub learning_rate: f64,
    /// Gradient steps on the states of this pass.
    pub steps: u32,
    /// Public windows of one pass.
    pub windows: u32,
    /// The weight of a token.
    pub weight: TokenWeight,
}

impl FitStep {
    /// So many gradient steps on so many windows.
    #[must_use]
    pub fn new(learning_rate: f64, steps: u32, windows: u32, weight: TokenWeight) -> Self {
        Self { learning_rate, steps, windows, weight }
    }
}

/// The state of a fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FitReport {
    /// Per layer, before the steps: `sum w ||h(x) - y||^2 / sum w ||y - x||^2`; 1 is as bad as dropping the layer.
    pub residuals: Vec<f64>,
}

impl FitReport {
    /// One residual per layer.
    #[must_use]
    pub fn new(residuals: Vec<f64>) -> Self {
        Self { residuals }
    }
}

/// The question of [`Host::layer_moments`](crate::Host::layer_moments).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MomentsRequest {
    /// Index of the layer.
    pub layer: usize,
    /// Public windows to take them over; the same windows for every layer.
    pub windows: u32,
    /// The weight of a token.
    pub weight: TokenWeight,
}

impl MomentsRequest {
    /// Moments of a layer over so many windows.
    #[must_use]
    pub fn new(layer: usize, windows: u32, weight: TokenWeight) -> Self {
        Self { layer, windows, weight }
    }
}

/// First and second moments of a layer over public text; `d` is the hidden size. `T` is [`Tensor`] for an author.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerMoments<T = Tensor> {
    /// Weighted mean of `x`, `[d]`.
    pub input_mean: T,
    /// Weighted mean of `y - x`, `[d]`.
    pub change_mean: T,
    /// Weighted covariance of `x`, `[d, d]`.
    pub input_covariance: T,
    /// Weighted covariance of `y - x` with `x`, `[d, d]`: row `i` belongs to `change_i`.
    pub cross_covariance: T,
}

impl<T> LayerMoments<T> {
    /// These moments. For hosts.
    #[must_use]
    pub fn new(input_mean: T, change_mean: T, input_covariance: T, cross_covariance: T) -> Self {
        Self { input_mean, change_mean, input_covariance, cross_covariance }
    }
}

impl<T> LayerMoments<T> {
    /// The same with every tensor put through `f`.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn try_map<U, E>(self, f: &mut dyn FnMut(T) -> Result<U, E>) -> Result<LayerMoments<U>, E> {
        Ok(LayerMoments {
            input_mean: f(self.input_mean)?,
            change_mean: f(self.change_mean)?,
            input_covariance: f(self.input_covariance)?,
            cross_covariance: f(self.cross_covariance)?,
        })
    }
}
