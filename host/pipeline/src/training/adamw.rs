//! AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), fused: one pass over parameter, gradient and both moments.
//!
//! `m = b1 m + (1-b1) g`, `v = b2 v + (1-b2) g^2`, `p = p (1 - lr wd) - lr/(1-b1^t) m / (sqrt(v/(1-b2^t)) + eps)`,
//! the order of PyTorch's `torch.optim.AdamW`. fp32 on the CPU runs over plain slices on all threads (value by value, so the
//! thread count does not change the result); elsewhere the same formula runs as tensor operations.

use scaleot_tensor::{Device, Dtype, Result, Tensor, no_grad, threads};

/// The constants of the rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWOptions {
    /// `b1`, `b2`.
    pub betas: (f64, f64),
    /// `eps`.
    pub epsilon: f64,
    /// `wd`, decoupled.
    pub weight_decay: f64,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self { betas: (0.9, 0.999), epsilon: 1e-8, weight_decay: 0.0 }
    }
}

/// The optimiser's state over a list of parameters.
pub struct AdamW {
    options: AdamWOptions,
    state: Vec<Moments>,
}

/// The state of one parameter.
#[derive(Clone)]
pub struct Moments {
    /// Steps in which the parameter took part.
    pub steps: u64,
    /// `m`.
    pub first: Tensor,
    /// `v`.
    pub second: Tensor,
}

/// The numbers of one step, the same for every value.
#[derive(Clone, Copy)]
struct Coefficients {
    decay: f32,
    beta1: f32,
    beta2: f32,
    // Taken in f64: 1 - 0.999f32 is off by one part in 10^5.
    rest1: f32,
    rest2: f32,
    step_size: f32,
    root_correction: f32,
    epsilon: f32,
    grad_scale: f32,
}

impl AdamW {
    /// Zero moments for these parameters.
    ///
    /// # Errors
    /// When memory for the moments cannot be had.
    pub fn new(options: AdamWOptions, parameters: &[Tensor]) -> Result<Self> {
        let zeros = |p: &Tensor| Tensor::zeros(&p.shape(), Dtype::F32, p.device());
        let fresh = |p| Ok(Moments { steps: 0, first: zeros(p)?, second: zeros(p)? });
        Ok(Self { options, state: parameters.iter().map(fresh).collect::<Result<_>>()? })
    }

    /// The state, for a checkpoint.
    pub fn state(&self) -> &[Moments] {
        &self.state
    }

    /// Takes the state of a checkpoint.
    pub fn restore(&mut self, state: Vec<Moments>) {
        self.state = state;
    }

    /// One step on every parameter that has a gradient, multiplied by `grad_scale` first (clipping); the others keep their
    /// values and moments as they are.
    ///
    /// # Errors
    /// When libtorch refuses an operation.
    pub fn step(
        &mut self,
        parameters: &mut [Tensor],
        gradients: &[Option<Tensor>],
        learning_rate: f64,
        grad_scale: f64,
    ) -> Result<()> {
        let _guard = no_grad();
        for ((parameter, gradient), state) in parameters.iter_mut().zip(gradients).zip(&mut self.state) {
            let Some(gradient) = gradient else { continue };
            state.steps += 1;
            let coefficients = coefficients(self.options, state.steps, learning_rate, grad_scale);
            let plain = |t: &Tensor| t.device() == Device::Cpu && t.dtype() == Dtype::F32 && t.is_contiguous();
            if plain(parameter) && plain(gradient) {
                let (first, second) = (state.first.as_f32_mut()?, state.second.as_f32_mut()?);
                let slices = Slices { p: parameter.as_f32_mut()?, g: gradient.as_f32()?, m: first, v: second };
                run_slices(slices, coefficients);
            } else {
                run_tensors(parameter, gradient, state, coefficients)?;
            }
        }
        Ok(())
    }
}

fn coefficients(options: AdamWOptions, steps: u64, learning_rate: f64, grad_scale: f64) -> Coefficients {
    let (beta1, beta2) = options.betas;
    let power = i32::try_from(steps).unwrap_or(i32::MAX);
    Coefficients {
        decay: (1.0 - learning_rate * options.weight_decay) as f32,
        beta1: beta1 as f32,
        beta2: beta2 as f32,
        rest1: (1.0 - beta1) as f32,
        rest2: (1.0 - beta2) as f32,
        step_size: (learning_rate / (1.0 - beta1.powi(power))) as f32,
        root_correction: (1.0 / (1.0 - beta2.powi(power)).sqrt()) as f32,
        epsilon: options.epsilon as f32,
        grad_scale: grad_scale as f32,
    }
}

/// The values of one parameter, named as in the formula.
struct Slices<'a> {
    p: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

/// Below this many values a second thread costs more than it brings.
const VALUES_PER_THREAD: usize = 1 << 16;

fn run_slices(slices: Slices<'_>, c: Coefficients) {
    let Slices { p, g, m, v } = slices;
    let workers = threads().min(p.len() / VALUES_PER_THREAD).max(1);
    let chunk = p.len().div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let parts = p.chunks_mut(chunk).zip(g.chunks(chunk)).zip(m.chunks_mut(chunk)).zip(v.chunks_mut(chunk));
        let mut parts = parts.map(|(((p, g), m), v)| Slices { p, g, m, v });
        // This thread takes the first part itself.
        let own = parts.next();
        for part in parts {
            scope.spawn(move || update(part, c));
        }
        if let Some(part) = own {
            update(part, c);
        }
    });
}

fn update(slices: Slices<'_>, c: Coefficients) {
    let Slices { p, g, m, v } = slices;
    for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
        let g = g * c.grad_scale;
        *m = c.beta1 * *m + c.rest1 * g;
        *v = c.beta2 * *v + c.rest2 * g * g;
        *p = *p * c.decay - c.step_size * *m / (v.sqrt() * c.root_correction + c.epsilon);
    }
}

fn run_tensors(p: &mut Tensor, g: &Tensor, moments: &mut Moments, c: Coefficients) -> Result<()> {
    let Moments { first: m, second: v, .. } = moments;
    let g = g.to_dtype(Dtype::F32)?.mul_scalar(f64::from(c.grad_scale))?;
    m.mul_scalar_(f64::from(c.beta1))?;
    m.add_(&g.mul_scalar(f64::from(c.rest1))?)?;
    v.mul_scalar_(f64::from(c.beta2))?;
    v.add_(&g.mul(&g)?.mul_scalar(f64::from(c.rest2))?)?;
    let root = v.sqrt()?.mul_scalar(f64::from(c.root_correction))?.add_scalar(f64::from(c.epsilon))?;
    let change = m.div(&root)?.mul_scalar(-f64::from(c.step_size))?;
    p.mul_scalar_(f64::from(c.decay))?;
    p.add_(&change.to_dtype(p.dtype())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.optim.AdamW([1, -2, 3], lr=0.1, weight_decay=0.01)`, three steps on the loss `sum(p^2)` (PyTorch 2.11.0).
    const EXPECTED: [[f32; 3]; 3] =
        [[0.899, -1.898, 2.897], [0.798519, -1.7962726, 2.7942092], [0.6989112, -1.6949446, 2.6917036]];

    fn run(step: impl Fn(&mut AdamW, &mut [Tensor], &[Option<Tensor>])) {
        let leaf = Tensor::from_f32(&[1.0, -2.0, 3.0], &[3]).unwrap().set_requires_grad(true).unwrap();
        let mut parameters = [leaf];
        let options = AdamWOptions { weight_decay: 0.01, ..AdamWOptions::default() };
        let mut optimiser = AdamW::new(options, &parameters).unwrap();
        for expected in EXPECTED {
            let loss = parameters[0].mul(&parameters[0]).unwrap().sum_all().unwrap();
            let gradients = loss.gradients(&parameters).unwrap();
            step(&mut optimiser, &mut parameters, &gradients);
            let found = parameters[0].detach().unwrap().to_vec_f32().unwrap();
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 2e-6, "{found} {expected}");
            }
        }
    }

    #[test]
    fn follows_pytorch() {
        run(|optimiser, parameters, gradients| optimiser.step(parameters, gradients, 0.1, 1.0).unwrap());
    }

    #[test]
    fn tensor_form_equals_slice_form() {
        run(|optimiser, parameters, gradients| {
            let options = optimiser.options;
            let state = &mut optimiser.state[0];
            state.steps += 1;
            let c = coefficients(options, state.steps, 0.1, 1.0);
            let _guard = no_grad();
            let gradient = gradients[0].as_ref().unwrap();
            run_tensors(&mut parameters[0], gradient, state, c).unwrap();
        });
    }

    /// A parameter without a gradient is not decayed, and its bias correction waits.
    #[test]
    fn what_has_no_gradient_stays() {
        let leaf = || Tensor::from_f32(&[1.0], &[1]).unwrap();
        let mut parameters = [leaf(), leaf()];
        let options = AdamWOptions { weight_decay: 0.5, ..AdamWOptions::default() };
        let mut optimiser = AdamW::new(options, &parameters).unwrap();
        optimiser.step(&mut parameters, &[Some(leaf()), None], 0.1, 1.0).unwrap();
        assert_eq!(optimiser.state().iter().map(|moments| moments.steps).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(parameters[1].to_vec_f32().unwrap(), [1.0]);
        // p (1 - lr wd) - lr: the first step of AdamW is of size lr.
        assert!((parameters[0].to_vec_f32().unwrap()[0] - 0.85).abs() < 1e-6);
    }
}
