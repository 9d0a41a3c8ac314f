//! Random tensors from our own counter-based generator (ChaCha8), one stream per purpose.
//!
//! libtorch's global generator is never used: results must not depend on who drew before.
//! Normal values come in pairs by Box and Muller: `r = √(−2 ln u₁)`, `r cos 2πu₂`, `r sin 2πu₂`.

use super::{Result, Tensor, TensorError};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// An endless stream of normal values, told apart by seed and stream number.
pub struct NormalStream {
    rng: ChaCha8Rng,
    spare: Option<f32>,
}

impl NormalStream {
    /// Equal seed and stream give equal values, on every machine.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        NormalStream { rng, spare: None }
    }

    /// One value with mean 0 and deviation 1.
    pub fn sample(&mut self) -> f32 {
        if let Some(value) = self.spare.take() {
            return value;
        }
        // In (0, 1]: the logarithm of 0 must not arise.
        let u1 = (f64::from(self.rng.next_u32()) + 1.0) / 4_294_967_296.0;
        let u2 = f64::from(self.rng.next_u32()) / 4_294_967_296.0;
        let radius = (-2.0 * u1.ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * u2).sin_cos();
        self.spare = Some((radius * sin) as f32);
        (radius * cos) as f32
    }

    /// A CPU tensor of normal values with mean 0 and that deviation.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn tensor(&mut self, shape: &[i64], deviation: f32) -> Result<Tensor> {
        let values: Vec<f32> = (0..numel(shape)?).map(|_| self.sample() * deviation).collect();
        Tensor::from_f32(&values, shape)
    }

    /// A CPU tensor of values spread evenly over `[-bound, bound)`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn uniform_tensor(&mut self, shape: &[i64], bound: f32) -> Result<Tensor> {
        let mut draw = || {
            let unit = f64::from(self.rng.next_u32()) / 4_294_967_296.0;
            ((2.0 * unit - 1.0) * f64::from(bound)) as f32
        };
        let values: Vec<f32> = (0..numel(shape)?).map(|_| draw()).collect();
        Tensor::from_f32(&values, shape)
    }
}

/// The product of the sizes.
fn numel(shape: &[i64]) -> Result<usize> {
    shape
        .iter()
        .try_fold(1usize, |n, &d| usize::try_from(d).ok().and_then(|d| n.checked_mul(d)))
        .ok_or_else(|| TensorError::Length { op: "random", found: 0, shape: shape.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_repeatability() {
        let draw = |seed, stream| NormalStream::new(seed, stream).tensor(&[20_000], 2.0).unwrap().to_vec_f32().unwrap();
        let values = draw(7, 0);
        let mean = values.iter().sum::<f32>() / 20_000.0;
        let variance = values.iter().map(|v| v * v).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 0.05, "{mean}");
        assert!((variance - 4.0).abs() < 0.15, "{variance}");
        assert_eq!(values, draw(7, 0));
        assert_ne!(values, draw(7, 1));
        assert_ne!(values, draw(8, 0));
    }
}
