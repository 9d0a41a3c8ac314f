//! Gradients of one optimiser step: the sum over the parts of its loss, for each parameter that any of them reached.
//!
//! A parameter that no part reached has none, not zero: the optimiser leaves it alone, in a resumed run as in one never stopped.

use scaleot_tensor::{Result, Tensor, no_grad};

/// One entry per parameter.
pub struct Gradients {
    leaves: Vec<Tensor>,
    scale: f64,
    sums: Vec<Option<Tensor>>,
}

impl Gradients {
    /// None yet; a loss is multiplied by `scale` on the way back.
    pub fn of(parameters: &[Tensor], scale: f64) -> Self {
        Self { leaves: parameters.to_vec(), scale, sums: vec![None; parameters.len()] }
    }

    /// Adds those of a part of the loss, and frees its graph.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn add(&mut self, loss: &Tensor) -> Result<()> {
        let scaled = if self.scale == 1.0 { loss.clone() } else { loss.mul_scalar(self.scale)? };
        let gradients = scaled.gradients(&self.leaves)?;
        let _guard = no_grad();
        for (sum, gradient) in self.sums.iter_mut().zip(gradients) {
            match (sum.as_mut(), gradient) {
                (Some(sum), Some(gradient)) => sum.add_(&gradient)?,
                (None, Some(gradient)) => *sum = Some(gradient),
                (_, None) => {}
            }
        }
        Ok(())
    }

    /// The same without those of parameters that are not `active`.
    #[must_use]
    pub fn only(mut self, active: &dyn Fn(usize) -> bool) -> Self {
        let inactive = self.sums.iter_mut().enumerate().filter(|(index, _)| !active(*index));
        inactive.for_each(|(_, sum)| *sum = None);
        self
    }

    /// The 2-norm over all of them, as `torch.nn.utils.clip_grad_norm_` takes it.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn norm(&self) -> Result<f64> {
        let _guard = no_grad();
        let mut squares = 0.0;
        for gradient in self.sums.iter().flatten() {
            squares += gradient.norm()?.to_f64()?.powi(2);
        }
        Ok(squares.sqrt() / self.scale)
    }

    /// The factor that the gradients are to be multiplied by.
    pub fn unscale(&self) -> f64 {
        1.0 / self.scale
    }

    /// In the order of the parameters, still scaled.
    pub fn as_slice(&self) -> &[Option<Tensor>] {
        &self.sums
    }
}
