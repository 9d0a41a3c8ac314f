//! Compressors: the weights of one kept layer in, fewer numbers out.

use crate::error::PluginError;
use crate::host::Host;
use crate::outline::{LayerOutline, WeightRole};
use crate::tensor::Tensor;
use crate::weight_form::WeightForm;
use serde::{Deserialize, Serialize};

/// One kept layer's weights by role. Fused projections come split, so a compressor written once works on every family.
#[derive(Debug)]
pub struct LayerWeights {
    outline: LayerOutline,
    weights: Vec<(WeightRole, Tensor)>,
    changed: Vec<(WeightRole, WeightForm)>,
}

impl LayerWeights {
    /// The weights of a layer, as the host hands them over.
    #[must_use]
    pub fn new(outline: LayerOutline, weights: Vec<(WeightRole, Tensor)>) -> Self {
        Self { outline, weights, changed: Vec::new() }
    }

    /// Index, widths and shapes of the layer.
    #[must_use]
    pub fn outline(&self) -> &LayerOutline {
        &self.outline
    }

    /// The roles that this layer has.
    #[must_use]
    pub fn roles(&self) -> Vec<WeightRole> {
        self.weights.iter().map(|(role, _)| *role).collect()
    }

    /// The original weight of a role, `[rows, cols]`, if the layer has it.
    #[must_use]
    pub fn get(&self, role: WeightRole) -> Option<&Tensor> {
        self.weights.iter().find(|(r, _)| *r == role).map(|(_, tensor)| tensor)
    }

    /// Puts another form in the place of a weight. The host checks shapes and finiteness.
    ///
    /// # Errors
    /// `Failed` when the layer has no such weight, or it was set before.
    pub fn set(&mut self, role: WeightRole, form: WeightForm) -> Result<(), PluginError> {
        if self.get(role).is_none() {
            return Err(PluginError::failed(format!("layer {} has no {role} to compress", self.outline.index)));
        }
        if self.changed.iter().any(|(r, _)| *r == role) {
            return Err(PluginError::failed(format!("{role} of layer {} was compressed twice", self.outline.index)));
        }
        self.changed.push((role, form));
        Ok(())
    }

    /// Changes the values of a matrix one by one: `change` gets them row by row, and the length of a row. The report says what
    /// share of the energy is gone; the rank is counted as whole.
    ///
    /// # Errors
    /// As [`set`](Self::set); `Failed` for what is no matrix.
    pub fn change_values(
        &mut self,
        role: WeightRole,
        host: &mut Host,
        change: impl FnOnce(&mut [f32], usize),
    ) -> Result<MatrixReport, PluginError> {
        let none = || PluginError::failed(format!("layer {} has no {role} to compress", self.outline.index));
        let weight = self.get(role).ok_or_else(none)?;
        let shape = host.shape(weight)?;
        let &[rows, cols] = shape.as_slice() else {
            return Err(PluginError::failed(format!("{role} has the shape {shape:?}, expected a matrix")));
        };
        let before = host.to_f32(weight)?;
        let mut after = before.clone();
        change(&mut after, cols);
        let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
        let total = squares(&mut before.iter().map(|&value| f64::from(value)));
        let gone = squares(&mut before.iter().zip(&after).map(|(&a, &b)| f64::from(a) - f64::from(b)));
        let rank = rows.min(cols);
        if gone > 0.0 {
            let weight = host.from_f32(&after, &shape)?;
            self.set(role, WeightForm::Dense { weight })?;
        }
        let residual_energy = if total == 0.0 { 0.0 } else { gone / total };
        Ok(MatrixReport { role, rank, full_rank: rank, residual_energy })
    }

    /// The forms that were set, in order.
    #[must_use]
    pub fn into_changed(self) -> Vec<(WeightRole, WeightForm)> {
        self.changed
    }
}

/// The report on one matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MatrixReport {
    /// The matrix's role.
    pub role: WeightRole,
    /// Rank that is left.
    pub rank: usize,
    /// `min(rows, cols)`.
    pub full_rank: usize,
    /// `||W - W_r||_F^2 / ||W||_F^2`: the share of energy that the data owner cannot see.
    pub residual_energy: f64,
}

impl MatrixReport {
    /// The report on one matrix.
    #[must_use]
    pub fn new(role: WeightRole, rank: usize, full_rank: usize, residual_energy: f64) -> Self {
        Self { role, rank, full_rank, residual_energy }
    }
}

/// The report on one layer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CompressionReport {
    /// One entry per compressed matrix.
    pub matrices: Vec<MatrixReport>,
}

impl CompressionReport {
    /// The reports on all matrices that were compressed.
    #[must_use]
    pub fn new(matrices: Vec<MatrixReport>) -> Self {
        Self { matrices }
    }
}

/// Compresses the weights of one kept layer.
///
/// ```
/// use scaleot_plugin_api::{
///     CompressionReport, Compressor, Host, LayerWeights, MatrixReport, PluginError, WeightForm, WeightRole,
/// };
/// use scaleot_plugin_conformance::FakeHost;
///
/// /// Halves every query projection: the rank stays, a quarter of the energy is gone.
/// struct Halve;
/// impl Compressor for Halve {
///     fn compress(&mut self, layer: &mut LayerWeights, host: &mut Host) -> Result<CompressionReport, PluginError> {
///         let role = WeightRole::AttentionQ;
///         let Some(q) = layer.get(role) else { return Ok(CompressionReport::default()) };
///         let rank = host.shape(q)?.into_iter().min().unwrap_or(0);
///         let weight = host.scale(q, 0.5)?;
///         layer.set(role, WeightForm::Dense { weight })?;
///         let matrix = MatrixReport::new(role, rank, rank, 0.25);
///         Ok(CompressionReport::new(vec![matrix]))
///     }
/// }
/// let mut fake = FakeHost::toy(4, 8);
/// let mut layer = fake.layer_weights(1);
/// Halve.compress(&mut layer, &mut fake.host())?;
/// assert_eq!(layer.into_changed().len(), 1);
/// # Ok::<(), PluginError>(())
/// ```
pub trait Compressor {
    /// Reads weights of `layer`, sets those that it compressed, and reports.
    ///
    /// # Errors
    /// Any [`PluginError`]; those of the host pass through with `?`.
    fn compress(&mut self, layer: &mut LayerWeights, host: &mut Host) -> Result<CompressionReport, PluginError>;
}
