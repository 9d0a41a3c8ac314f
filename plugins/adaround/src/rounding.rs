//! Learned rounding of one matrix (arXiv 2004.10568, section 3.3), in fp32 on the device of the matrix.
//!
//! `W~ = s clip(floor(W / s) + h(V), -L, L)` with `s = max |w| / L` over a row and `L = 2^(bits-1) - 1`, the steps of
//! `offsite-tuning/fake-quantise`. `h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1)` (equations 22 and 23) starts where `W~ = W`.
//! The descent is on
//!
//! `tr(D A D^T) / tr(D_0 A D_0^T) + lambda mean(1 - |2 h(V) - 1|^beta)`, `D = W~ - W`, `A = E[x x^T]: [cols, cols]`,
//!
//! where `tr(D A D^T) = E |D x|^2` is equation 21's error of the outputs, `D_0` that of rounding to nearest, and `beta` falls from 20
//! to 2 (equation 24). The paper has the sums themselves; dividing them makes one `lambda` fit matrices of any size.

use scaleot_plugin_api::tch::{self, Kind, Tensor, nn, nn::OptimizerConfig};

/// The stretched sigmoid's limits, `zeta` and `gamma`.
const STRETCH: (f64, f64) = (1.1, -0.1);
/// First and last `beta`.
const SHARPNESS: (f64, f64) = (20.0, 2.0);
/// The share of steps before the second term counts.
const WARM_UP: f64 = 0.2;

/// The settings of the descent.
#[derive(Debug, Clone, Copy)]
pub struct Descent {
    /// Adam's steps.
    pub steps: u32,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// `lambda`.
    pub regularisation: f64,
}

/// A matrix in whole steps.
pub struct Grid {
    /// `[rows, 1]`, above 0.
    step: Tensor,
    /// `L`.
    limit: f64,
}

impl Grid {
    /// The steps of a matrix `[rows, cols]`.
    #[must_use]
    pub fn of(weight: &Tensor, bits: u32) -> Self {
        let limit = f64::from((1_u32 << (bits - 1)) - 1);
        let largest = weight.abs().amax([1], true);
        // A row of zeros has any step.
        let step = largest.clamp_min(f64::from(f32::MIN_POSITIVE)) / limit;
        Self { step, limit }
    }

    /// Every weight to its nearest step.
    pub fn nearest(&self, weight: &Tensor) -> Tensor {
        (weight / &self.step).round().clamp(-self.limit, self.limit) * &self.step
    }

    /// Every weight to the step below, and `up` of the way to the next.
    fn between(&self, below: &Tensor, up: &Tensor) -> Tensor {
        (below + up).clamp(-self.limit, self.limit) * &self.step
    }
}

/// `E |D x|^2 = tr(D A D^T)`, `[]`.
pub fn output_error(difference: &Tensor, moments: &Tensor) -> Tensor {
    (difference.matmul(moments) * difference).sum(Kind::Float)
}

fn up(v: &Tensor) -> Tensor {
    (v.sigmoid() * (STRETCH.0 - STRETCH.1) + STRETCH.1).clamp(0.0, 1.0)
}

/// The `v` at which `up(v)` is this share.
fn start(share: &Tensor) -> Tensor {
    let inner = (share - STRETCH.1) / (STRETCH.0 - STRETCH.1);
    (&inner / (1_f64 - &inner)).log()
}

/// The rounding of `weight: [rows, cols]` that changes outputs least, among those found; never worse than the nearest.
///
/// # Errors
/// The error of the optimiser in libtorch's words.
pub fn learned(weight: &Tensor, moments: &Tensor, bits: u32, descent: Descent) -> Result<Tensor, tch::TchError> {
    let (weight, moments) = (weight.detach(), moments.detach());
    let grid = Grid::of(&weight, bits);
    let nearest = grid.nearest(&weight);
    let unit = output_error(&(&nearest - &weight), &moments).double_value(&[]);
    // Exact already, or inputs that are all zero: there is nothing to learn.
    if unit <= 0.0 || !unit.is_finite() {
        return Ok(nearest);
    }
    let below = (&weight / &grid.step).floor();
    let variables = nn::VarStore::new(weight.device());
    let v = variables.root().var_copy("v", &start(&(&weight / &grid.step - &below)));
    let mut adam = nn::Adam::default().build(&variables, descent.learning_rate)?;
    // The host may have switched recording off.
    tch::with_grad(|| {
        for step in 0..descent.steps {
            let done = f64::from(step) / f64::from(descent.steps);
            let up = up(&v);
            let error = output_error(&(grid.between(&below, &up) - &weight), &moments) / unit;
            let loss = match regulariser(&up, done) {
                Some(term) => error + term * descent.regularisation,
                None => error,
            };
            adam.backward_step(&loss);
        }
    });
    let learned = grid.between(&below, &up(&v.detach()).round());
    let better = output_error(&(&learned - &weight), &moments).double_value(&[]) < unit;
    Ok(if better { learned } else { nearest })
}

/// `mean(1 - |2 h - 1|^beta)` after this share of the steps.
fn regulariser(up: &Tensor, done: f64) -> Option<Tensor> {
    let share = (done - WARM_UP) / (1.0 - WARM_UP);
    let beta = SHARPNESS.0 + (SHARPNESS.1 - SHARPNESS.0) * share;
    (share >= 0.0).then(|| (1_f64 - (up * 2.0 - 1.0).abs().pow_tensor_scalar(beta)).mean(Kind::Float))
}
