//! The tensor algebra of [`Host`]: every operation makes a new tensor of the host; nothing is copied across the boundary.
//!
//! Matrices are `[rows, cols]`; broadcasting and views follow libtorch.

use super::Host;
use crate::error::PluginError;
use crate::services::carrier::{MAX_OUTPUTS, OpArguments, TensorOp};
use crate::tensor::{DlTensor, Handle, Tensor};
use std::rc::Rc;

impl Host<'_> {
    fn run<const N: usize>(
        &mut self,
        op: TensorOp,
        inputs: &[&Tensor],
        arguments: OpArguments<'_>,
    ) -> Result<[Tensor; N], PluginError> {
        let mut handles = [0; MAX_OUTPUTS];
        let mut buffer = [0; 4];
        let many: Vec<Handle>;
        let inputs = match buffer.get_mut(..inputs.len()) {
            Some(few) => {
                few.iter_mut().zip(inputs).for_each(|(slot, tensor)| *slot = tensor.handle());
                &*few
            }
            None => {
                many = inputs.iter().map(|tensor| tensor.handle()).collect();
                &many
            }
        };
        let count = self.services.tensor_op(op, inputs, arguments, &mut handles)?;
        let releaser = self.services.releaser();
        let tensors: Vec<Tensor> =
            handles.into_iter().take(count).map(|handle| Tensor::adopt(handle, Rc::clone(&releaser))).collect();
        tensors.try_into().map_err(|_| PluginError::host(format!("{op:?} returned {count} tensors, expected {N}")))
    }

    fn one(&mut self, op: TensorOp, inputs: &[&Tensor], arguments: OpArguments<'_>) -> Result<Tensor, PluginError> {
        let [tensor] = self.run(op, inputs, arguments)?;
        Ok(tensor)
    }

    /// A new tensor of these values, `values.len() = product of sizes`.
    ///
    /// # Errors
    /// `Host` when the count does not fit.
    pub fn from_f32(&mut self, values: &[f32], shape: &[usize]) -> Result<Tensor, PluginError> {
        let handle = self.services.tensor_from_f32(values, &sizes(shape))?;
        Ok(Tensor::adopt(handle, self.services.releaser()))
    }

    /// The sizes of a tensor.
    ///
    /// # Errors
    /// `Host` for a tensor of another host.
    pub fn shape(&mut self, a: &Tensor) -> Result<Vec<usize>, PluginError> {
        let view = self.services.tensor_view(a.handle())?;
        Ok(view_slice(view.shape, view.ndim).iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect())
    }

    /// The values of a tensor as fp32, row by row.
    ///
    /// # Errors
    /// As [`view_f32`](Self::view_f32).
    pub fn to_f32(&mut self, a: &Tensor) -> Result<Vec<f32>, PluginError> {
        self.view_f32(a, <[f32]>::to_vec)
    }

    /// Lends the values of a tensor as fp32, row by row: in place when they lie so on the CPU, else from one copy.
    ///
    /// # Errors
    /// `Host` for a tensor of another host, or when the host cannot bring the values to the CPU as fp32.
    pub fn view_f32<R>(&mut self, a: &Tensor, read: impl FnOnce(&[f32]) -> R) -> Result<R, PluginError> {
        let view = self.services.tensor_view(a.handle())?;
        if is_readable(&view) {
            return Ok(read(view_values(&view)));
        }
        let ordered = self.one(TensorOp::Copy, &[a], OpArguments::default())?;
        let view = self.services.tensor_view(ordered.handle())?;
        if !is_readable(&view) {
            return Err(PluginError::host("the host's copy of a tensor is not fp32 in order on the CPU"));
        }
        Ok(read(view_values(&view)))
    }

    /// `a + b`, with broadcasting.
    ///
    /// # Errors
    /// `Host` when the shapes do not fit. The same for every operation below.
    pub fn add(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor, PluginError> {
        self.one(TensorOp::Add, &[a, b], OpArguments::default())
    }

    /// `a - b`, with broadcasting.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn sub(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor, PluginError> {
        self.one(TensorOp::Sub, &[a, b], OpArguments::default())
    }

    /// `a * b` value by value, with broadcasting.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn mul(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor, PluginError> {
        self.one(TensorOp::Mul, &[a, b], OpArguments::default())
    }

    /// `a / b` value by value, with broadcasting.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn div(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor, PluginError> {
        self.one(TensorOp::Div, &[a, b], OpArguments::default())
    }

    /// `factor * a`.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn scale(&mut self, a: &Tensor, factor: f64) -> Result<Tensor, PluginError> {
        self.affine(a, factor, 0.0)
    }

    /// `factor * a + term`.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn affine(&mut self, a: &Tensor, factor: f64, term: f64) -> Result<Tensor, PluginError> {
        self.one(TensorOp::Affine, &[a], OpArguments { ints: &[], floats: &[factor, term] })
    }

    /// `a b`: `[m, k] x [k, n] -> [m, n]`.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn matmul(&mut self, a: &Tensor, b: &Tensor) -> Result<Tensor, PluginError> {
        self.one(TensorOp::MatMul, &[a, b], OpArguments::default())
    }

    /// `[m, n] -> [n, m]`, without a copy.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn transpose(&mut self, a: &Tensor) -> Result<Tensor, PluginError> {
        self.one(TensorOp::Transpose, &[a], OpArguments::default())
    }

    /// `length` entries of a dimension from `start`, without a copy.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn narrow(&mut self, a: &Tensor, dim: usize, start: usize, length: usize) -> Result<Tensor, PluginError> {
        self.one(TensorOp::Narrow, &[a], OpArguments { ints: &sizes(&[dim, start, length]), floats: &[] })
    }

    /// Joins tensors along a dimension.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn cat(&mut self, parts: &[&Tensor], dim: usize) -> Result<Tensor, PluginError> {
        self.one(TensorOp::Cat, parts, OpArguments { ints: &sizes(&[dim]), floats: &[] })
    }

    /// Sum over a dimension, or over everything (`[]`).
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn sum(&mut self, a: &Tensor, dim: Option<usize>) -> Result<Tensor, PluginError> {
        self.one(TensorOp::Sum, &[a], OpArguments { ints: &sizes(dim.as_slice()), floats: &[] })
    }

    /// Mean over a dimension, or over everything (`[]`).
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn mean(&mut self, a: &Tensor, dim: Option<usize>) -> Result<Tensor, PluginError> {
        self.one(TensorOp::Mean, &[a], OpArguments { ints: &sizes(dim.as_slice()), floats: &[] })
    }

    /// Frobenius norm.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn norm(&mut self, a: &Tensor) -> Result<f64, PluginError> {
        let norm = self.one(TensorOp::Norm, &[a], OpArguments::default())?;
        self.view_f32(&norm, |values| values.first().copied().map_or(f64::NAN, f64::from))
    }

    /// `|a|`.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn abs(&mut self, a: &Tensor) -> Result<Tensor, PluginError> {
        self.one(TensorOp::Abs, &[a], OpArguments::default())
    }

    /// Square root, value by value.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn sqrt(&mut self, a: &Tensor) -> Result<Tensor, PluginError> {
        self.one(TensorOp::Sqrt, &[a], OpArguments::default())
    }

    /// `e^a`, value by value.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn exp(&mut self, a: &Tensor) -> Result<Tensor, PluginError> {
        self.one(TensorOp::Exp, &[a], OpArguments::default())
    }

    /// Thin SVD `a = U diag(S) V^T`: `U [m, k]`, `S [k]` descending, `V [n, k]`, `k = min(m, n)`.
    ///
    /// # Errors
    /// As [`add`](Self::add); `Numeric` when it does not converge.
    pub fn svd(&mut self, a: &Tensor) -> Result<[Tensor; 3], PluginError> {
        self.run(TensorOp::Svd, &[a], OpArguments::default())
    }

    /// Eigenvalues `[n]` ascending and eigenvectors `[n, n]` (columns) of a symmetric matrix.
    ///
    /// # Errors
    /// As [`svd`](Self::svd).
    pub fn symmetric_eigen(&mut self, a: &Tensor) -> Result<[Tensor; 2], PluginError> {
        self.run(TensorOp::SymmetricEigen, &[a], OpArguments::default())
    }

    /// Normal values with mean 0; the same seed gives the same values on every machine.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn random_normal(&mut self, shape: &[usize], deviation: f64, seed: u64) -> Result<Tensor, PluginError> {
        self.one(TensorOp::RandomNormal, &[], OpArguments { ints: &seeded(seed, shape), floats: &[deviation] })
    }

    /// Uniform values in `[-bound, bound)`; the same seed gives the same values on every machine.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn random_uniform(&mut self, shape: &[usize], bound: f64, seed: u64) -> Result<Tensor, PluginError> {
        self.one(TensorOp::RandomUniform, &[], OpArguments { ints: &seeded(seed, shape), floats: &[bound] })
    }

    /// Zeros.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn zeros(&mut self, shape: &[usize]) -> Result<Tensor, PluginError> {
        self.one(TensorOp::Zeros, &[], OpArguments { ints: &sizes(shape), floats: &[] })
    }
}

fn sizes(shape: &[usize]) -> Vec<i64> {
    shape.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect()
}

fn seeded(seed: u64, shape: &[usize]) -> Vec<i64> {
    std::iter::once(seed.cast_signed()).chain(sizes(shape)).collect()
}

fn view_slice<'a>(first: *const i64, ndim: i32) -> &'a [i64] {
    match usize::try_from(ndim) {
        // SAFETY: the host promises `ndim` numbers behind the pointer until the call into the plugin returns.
        Ok(count) if count > 0 && !first.is_null() => unsafe { std::slice::from_raw_parts(first, count) },
        _ => &[],
    }
}

/// The values of a view that [`is_readable`].
fn view_values(view: &DlTensor) -> &[f32] {
    let count: i64 = view_slice(view.shape, view.ndim).iter().product();
    let first = view.data.wrapping_byte_add(usize::try_from(view.byte_offset).unwrap_or(0)).cast::<f32>();
    if count <= 0 || first.is_null() {
        return &[];
    }
    // SAFETY: the host promises `count` fp32 values in order at `first`, unchanged until this call returns.
    unsafe { std::slice::from_raw_parts(first, usize::try_from(count).unwrap_or(0)) }
}

/// True where the values are fp32, on the CPU, row by row without gaps.
fn is_readable(view: &DlTensor) -> bool {
    if view.device_type != 1 || view.dtype_code != 2 || view.dtype_bits != 32 {
        return false;
    }
    let sizes = view_slice(view.shape, view.ndim);
    let mut expected = 1;
    let dims = sizes.iter().zip(view_slice(view.strides, view.ndim));
    sizes.contains(&0)
        || dims.rev().all(|(&size, &stride)| {
            let fits = size == 1 || stride == expected;
            expected *= size;
            fits
        })
}
