//! Gradients: who needs them, how they are asked for, and how recording is switched off.

use super::{Result, Tensor, TensorError};

/// While it lives, nothing on this thread is recorded for gradients.
pub struct NoGrad(#[allow(dead_code)] tch::NoGradGuard);

/// Stops recording until the guard is dropped; the state before it then returns, errors included.
pub fn no_grad() -> NoGrad {
    NoGrad(tch::no_grad_guard())
}

/// True if operations on this thread are being recorded.
pub fn grad_enabled() -> bool {
    // SAFETY: the C call swaps a thread-local flag and returns the old one; it is put back at once.
    unsafe {
        let before = torch_sys::at_grad_set_enabled(0);
        torch_sys::at_grad_set_enabled(before);
        before != 0
    }
}

/// Puts the thread's recording back as it was: for code that may switch it and not come back to switch it again.
pub struct GradMode(bool);

impl GradMode {
    /// Remembers how it is now.
    pub fn keep() -> Self {
        Self(grad_enabled())
    }
}

impl Drop for GradMode {
    fn drop(&mut self) {
        // SAFETY: the C call sets a thread-local flag.
        unsafe { torch_sys::at_grad_set_enabled(self.0.into()) };
    }
}

impl Tensor {
    /// True if a gradient would reach this tensor.
    pub fn requires_grad(&self) -> bool {
        self.0.requires_grad()
    }

    /// A leaf on the same memory that gathers gradients, or does not.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn set_requires_grad(&self, wanted: bool) -> Result<Tensor> {
        self.unary("set_requires_grad", |t| t.f_set_requires_grad(wanted))
    }

    /// Runs the graph backwards from this scalar into the leaves' own gradients.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn backward(&self) -> Result<()> {
        self.0.f_backward().map_err(|e| TensorError::torch("backward", &[&self.0], &e))
    }

    /// The gradients of this scalar with respect to `leaves`, row by row in memory; `None` where it does not depend on one.
    /// Nothing is gathered in the leaves.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn gradients(&self, leaves: &[Tensor]) -> Result<Vec<Option<Tensor>>> {
        if !self.requires_grad() {
            return Ok(vec![None; leaves.len()]);
        }
        let inputs: Vec<&tch::Tensor> = leaves.iter().map(|leaf| &leaf.0).collect();
        let found = tch::Tensor::f_run_backward(&[&self.0], &inputs, false, false)
            .map_err(|e| TensorError::torch("gradients", &[&self.0], &e))?;
        let defined = |gradient: tch::Tensor| gradient.defined().then(|| Tensor(gradient).contiguous()).transpose();
        found.into_iter().map(defined).collect()
    }

    /// The gradient gathered so far, if any.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn grad(&self) -> Result<Option<Tensor>> {
        let grad = self.unary("grad", tch::Tensor::f_grad)?;
        Ok(grad.0.defined().then_some(grad))
    }

    /// The same memory, off the graph.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn detach(&self) -> Result<Tensor> {
        self.unary("detach", tch::Tensor::f_detach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradient_of_a_square() {
        let x = Tensor::from_f32(&[3.0, -2.0], &[2]).unwrap().set_requires_grad(true).unwrap();
        assert!(x.grad().unwrap().is_none());
        x.mul(&x).unwrap().sum_all().unwrap().backward().unwrap();
        assert_eq!(x.grad().unwrap().unwrap().to_vec_f32().unwrap(), [6.0, -4.0]);
    }

    #[test]
    fn gradients_of_some_leaves() {
        let leaf = |value| Tensor::from_f32(&[value], &[1]).unwrap().set_requires_grad(true).unwrap();
        let (x, y) = (leaf(3.0), leaf(5.0));
        let square = x.mul(&x).unwrap().sum_all().unwrap();
        let found = square.gradients(&[x.clone(), y]).unwrap();
        assert_eq!(found[0].as_ref().unwrap().to_vec_f32().unwrap(), [6.0]);
        assert!(found[1].is_none() && x.grad().unwrap().is_none());
        assert!(square.detach().unwrap().gradients(&[x]).unwrap()[0].is_none());
    }

    #[test]
    fn what_is_switched_inside_is_as_before_outside() {
        let _outer = no_grad();
        let lost = std::panic::catch_unwind(|| {
            let _mode = GradMode::keep();
            tch::with_grad(|| panic!("before recording is switched off again"));
        });
        assert!(lost.is_err());
        assert!(!grad_enabled());
    }

    #[test]
    fn no_grad_ends_with_its_guard() {
        assert!(grad_enabled());
        {
            let _guard = no_grad();
            assert!(!grad_enabled());
        }
        assert!(grad_enabled());
    }
}
