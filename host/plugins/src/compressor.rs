//! A compressor in use: one layer's weights in, other forms of them out, and a report that is checked against both.
//!
//! The report's residual energy must be `||W - W_r||_F^2 / ||W||_F^2` as recomputed here. A truncated SVD reports it as
//! `sum_{k>r} S_k^2 / sum_k S_k^2`, so that a decomposition that went wrong does not get into a bundle.

use super::arena::Arena;
use super::error::PluginFault;
use super::services::Questions;
use super::strategy::StrategyUse;
use scaleot_plugin_api::{
    CompressAnswer, CompressRequest, CompressionReport, Handle, LayerOutline, MatrixReport, Method, PluginError,
    StrategyKind, WeightForm, WeightRole,
};
use scaleot_tensor::{Dtype, Tensor, TensorError};
use std::rc::Rc;

/// The distance that a reported share of energy may have from the recomputed one: the rounding of half precision.
const ENERGY_TOLERANCE: f64 = 1e-4;

/// A layer after compression.
pub struct CompressedLayer {
    /// The weights that changed.
    pub changed: Vec<(WeightRole, WeightForm<Tensor>)>,
    /// The report on them.
    pub report: CompressionReport,
}

/// A compressor in use.
pub struct CompressorHandle(StrategyUse);

impl TryFrom<StrategyUse> for CompressorHandle {
    type Error = PluginFault;

    fn try_from(used: StrategyUse) -> Result<Self, PluginFault> {
        used.of_kind(StrategyKind::Compress).map(Self)
    }
}

impl CompressorHandle {
    /// Compresses one layer; the weights are shared with the plugin, not copied.
    ///
    /// # Errors
    /// Those of the plugin, or `BadValue` for shapes that do not fit or values that are not finite.
    pub fn compress(
        &mut self,
        outline: &LayerOutline,
        weights: &[(WeightRole, Tensor)],
        questions: &mut dyn Questions,
    ) -> Result<CompressedLayer, PluginFault> {
        let arena = Rc::clone(&self.0.arena);
        let handles = weights.iter().map(|(role, tensor)| (*role, arena.put(tensor.clone()))).collect();
        let request = CompressRequest::new(outline.clone(), handles);
        let answer: CompressAnswer = self.0.call(Method::Compress, &request, questions)?;
        let mut changed = Vec::new();
        for (role, form) in answer.changed {
            let form = take_form(&arena, form).map_err(|error| self.0.failed(Method::Compress, error))?;
            self.check_form(outline, role, &form)?;
            changed.push((role, form));
        }
        let compressed = CompressedLayer { changed, report: answer.report };
        self.check_report(outline, weights, &compressed)?;
        Ok(compressed)
    }

    /// Every changed matrix is reported once, and what is reported is what became of it.
    fn check_report(
        &self,
        outline: &LayerOutline,
        weights: &[(WeightRole, Tensor)],
        compressed: &CompressedLayer,
    ) -> Result<(), PluginFault> {
        let CompressedLayer { changed, report } = compressed;
        for (role, _) in changed {
            let count = report.matrices.iter().filter(|matrix| matrix.role == *role).count();
            if count != 1 {
                let found = format!("{count} reports on {role} of layer {}", outline.index);
                return Err(self.0.wrong(Method::Compress, found, "one report on every changed matrix"));
            }
        }
        for matrix in &report.matrices {
            let Some((_, weight)) = weights.iter().find(|(role, _)| *role == matrix.role && role.is_matrix()) else {
                let found = format!("a report on {}", matrix.role);
                return Err(self.0.wrong(Method::Compress, found, format!("only matrices of layer {}", outline.index)));
            };
            let form = changed.iter().find(|(role, _)| *role == matrix.role).map(|(_, form)| form);
            let hidden = hidden_energy(weight, form);
            let hidden =
                hidden.map_err(|error| self.0.failed(Method::Compress, PluginError::host(error.to_string())))?;
            if let Some((found, expected)) = misreported(matrix, weight, hidden) {
                let found = format!("{found} for {} of layer {}", matrix.role, outline.index);
                return Err(self.0.wrong(Method::Compress, found, expected));
            }
        }
        Ok(())
    }

    fn check_form(
        &self,
        outline: &LayerOutline,
        role: WeightRole,
        form: &WeightForm<Tensor>,
    ) -> Result<(), PluginFault> {
        let wrong = |found: String, expected: String| Err(self.0.wrong(Method::Compress, found, expected));
        let Some(expected) = outline.weight(role).map(|weight| &weight.shape) else {
            return wrong(format!("a weight for {role}"), format!("only roles of layer {}", outline.index));
        };
        let (found, tensors) = match form {
            WeightForm::Dense { weight } => (weight.shape(), vec![weight]),
            WeightForm::Factored { left, right } => match (&left.shape()[..], &right.shape()[..]) {
                ([rows, rank], [inner, cols]) if rank == inner && *rank > 0 => (vec![*rows, *cols], vec![left, right]),
                (left, right) => {
                    return wrong(
                        format!("factors {left:?} and {right:?} for {role}"),
                        "[rows, r] and [r, cols]".into(),
                    );
                }
            },
        };
        let expected: Vec<i64> = expected.iter().map(|&size| size as i64).collect();
        if found != expected {
            return wrong(
                format!("the shape {found:?} for {role} of layer {}", outline.index),
                format!("{expected:?}"),
            );
        }
        if tensors.iter().any(|tensor| !tensor.is_finite_all().unwrap_or(false)) {
            let found = format!("a value that is not finite in {role} of layer {}", outline.index);
            return wrong(found, "finite values".into());
        }
        Ok(())
    }
}

fn take_form(arena: &Arena, form: WeightForm<Handle>) -> Result<WeightForm<Tensor>, PluginError> {
    form.try_map(&mut |handle| arena.take(handle))
}

/// `||W - W_r||_F^2 / ||W||_F^2`; 0 for a matrix that was left as it is, and for zeros.
fn hidden_energy(weight: &Tensor, form: Option<&WeightForm<Tensor>>) -> Result<f64, TensorError> {
    // In fp64, where the squares of weights neither vanish nor overflow.
    let energy = |t: &Tensor| Ok::<_, TensorError>(t.to_dtype(Dtype::F64)?.norm()?.to_f64()?.powi(2));
    let plain = |t: &Tensor| t.to_dtype(Dtype::F32);
    let result = match form {
        None => return Ok(0.0),
        Some(WeightForm::Dense { weight }) => plain(weight)?,
        Some(WeightForm::Factored { left, right }) => plain(left)?.linear(&plain(right)?.transpose(0, 1)?, None)?,
    };
    let whole = energy(weight)?;
    Ok(if whole == 0.0 { 0.0 } else { energy(&plain(weight)?.sub(&result)?)? / whole })
}

/// The statement of a report and the one that was expected, where they differ.
fn misreported(matrix: &MatrixReport, weight: &Tensor, hidden: f64) -> Option<(String, String)> {
    let MatrixReport { rank, full_rank, residual_energy, .. } = *matrix;
    let expected = weight.shape().into_iter().min().and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
    if full_rank != expected {
        return Some((format!("full_rank = {full_rank}"), format!("{expected}, its shorter side")));
    }
    if !(1..=full_rank).contains(&rank) {
        return Some((format!("rank = {rank}"), format!("1 to {full_rank}")));
    }
    let agrees = (residual_energy - hidden).abs() <= ENERGY_TOLERANCE;
    (!agrees).then(|| (format!("residual_energy = {residual_energy:.6}"), format!("{hidden:.6}, as recomputed")))
}

#[cfg(test)]
#[path = "compressor_tests.rs"]
mod tests;
