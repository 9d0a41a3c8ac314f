//! Gradients of a model in fp16, whose smallest number is 6e-8: the loss is scaled up for the way back.
//!
//! A way back that overflows is taken again with half of the scale, which never grows again; so every step is taken, and a resumed
//! run that knows the scale takes the same. Other types need no scale: theirs is 1.

use super::gradients::Gradients;
use super::step_loss::EachPart;
use crate::error::StageError;
use scaleot_tensor::{Dtype, Tensor};

/// Raw gradients from 1.5e-11 to 16 have a place then.
const FIRST: f64 = 4096.0;

/// The factor of a loss on the way back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossScale(pub f64);

impl LossScale {
    /// For a model that computes in this type.
    pub fn of(dtype: Dtype) -> Self {
        Self(if dtype == Dtype::F16 { FIRST } else { 1.0 })
    }

    /// The gradients of all parts of a loss, which `run` hands out, and their norm; not finite only where no scale helps.
    ///
    /// # Errors
    /// The error that `run` returned.
    pub fn gradients(
        &mut self,
        parameters: &[Tensor],
        run: &mut dyn FnMut(&mut EachPart<'_>) -> Result<(), StageError>,
    ) -> Result<(Gradients, f64), StageError> {
        loop {
            let mut gradients = Gradients::of(parameters, self.0);
            run(&mut |part| Ok(gradients.add(&part)?))?;
            let norm = gradients.norm()?;
            if norm.is_finite() || self.0 <= 1.0 {
                return Ok((gradients, norm));
            }
            self.0 /= 2.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_tensor::Device;

    /// `x · c` with `x` in fp16 between leaf and loss: a gradient `c` of 1e-9 is zero there, one of 1e3 overflows with the scale.
    #[test]
    fn small_gradients_arrive_and_large_ones_too() {
        let leaf = Tensor::zeros(&[1], Dtype::F32, Device::Cpu).unwrap().set_requires_grad(true).unwrap();
        let loss = |c: f64| {
            let narrow = leaf.to_dtype(Dtype::F16).unwrap();
            narrow.to_dtype(Dtype::F32).unwrap().mul_scalar(c).unwrap().sum_all().unwrap()
        };
        let found = |scale: &mut LossScale, c: f64| {
            let (gradients, norm) = scale.gradients(std::slice::from_ref(&leaf), &mut |each| each(loss(c))).unwrap();
            let raw = gradients.as_slice()[0].as_ref().unwrap().to_vec_f32().unwrap()[0];
            (f64::from(raw) * gradients.unscale(), norm)
        };
        assert_eq!(found(&mut LossScale(1.0), 1e-9), (0.0, 0.0));
        let mut scale = LossScale::of(Dtype::F16);
        let (small, norm) = found(&mut scale, 1e-9);
        assert!((small / 1e-9 - 1.0).abs() < 0.02 && (norm / 1e-9 - 1.0).abs() < 0.02, "{small} {norm}");
        let (large, _) = found(&mut scale, 1e3);
        assert!((large / 1e3 - 1.0).abs() < 1e-3, "{large}");
        assert_eq!(scale.0, 64.0, "65504 / 1000 is less than 128");
        assert!(!found(&mut scale, 1e6).1.is_finite(), "no scale helps");
        assert_eq!(LossScale::of(Dtype::BF16).0, 1.0);
    }
}
