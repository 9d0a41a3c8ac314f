//! Tensors from Rust slices and constants, and back.

use super::dtype::to_kind;
use super::{Device, Dtype, Result, Tensor, TensorError};

fn check_length(op: &'static str, found: usize, shape: &[i64]) -> Result<()> {
    let wanted = shape.iter().try_fold(1usize, |n, &d| usize::try_from(d).ok().and_then(|d| n.checked_mul(d)));
    if wanted == Some(found) {
        return Ok(());
    }
    Err(TensorError::Length { op, found, shape: shape.to_vec() })
}

impl Tensor {
    /// A copy of `values` with that shape, on the CPU.
    ///
    /// # Errors
    /// Another number of values than the shape has.
    pub fn from_f32(values: &[f32], shape: &[i64]) -> Result<Self> {
        check_length("from_f32", values.len(), shape)?;
        tch::Tensor::f_from_slice(values)
            .and_then(|t| t.f_reshape(shape))
            .map(Tensor)
            .map_err(|e| TensorError::torch("from_f32", &[], &e))
    }

    /// A copy of `values` with that shape, on the CPU.
    ///
    /// # Errors
    /// Another number of values than the shape has.
    pub fn from_i64(values: &[i64], shape: &[i64]) -> Result<Self> {
        check_length("from_i64", values.len(), shape)?;
        tch::Tensor::f_from_slice(values)
            .and_then(|t| t.f_reshape(shape))
            .map(Tensor)
            .map_err(|e| TensorError::torch("from_i64", &[], &e))
    }

    /// Indices from positions in Rust's own counting, on the CPU.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn from_indices(values: &[usize]) -> Result<Self> {
        let values: Vec<i64> = values.iter().map(|&v| v as i64).collect();
        Tensor::from_i64(&values, &[values.len() as i64])
    }

    /// All zero.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn zeros(shape: &[i64], dtype: Dtype, device: Device) -> Result<Self> {
        tch::Tensor::f_zeros(shape, (to_kind(dtype), device.to_tch()))
            .map(Tensor)
            .map_err(|e| TensorError::torch("zeros", &[], &e))
    }

    /// All equal to `value`.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn full(shape: &[i64], value: f64, dtype: Dtype, device: Device) -> Result<Self> {
        tch::Tensor::f_full(shape, value, (to_kind(dtype), device.to_tch()))
            .map(Tensor)
            .map_err(|e| TensorError::torch("full", &[], &e))
    }

    /// The elements in row-major order as f32, whatever the dtype and place.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn to_vec_f32(&self) -> Result<Vec<f32>> {
        let flat = self.detach()?.to_device(Device::Cpu)?.to_dtype(Dtype::F32)?.contiguous()?;
        let mut values = vec![0f32; flat.numel()];
        let numel = values.len();
        flat.0.f_copy_data(&mut values, numel).map_err(|e| TensorError::torch("to_vec_f32", &[&flat.0], &e))?;
        Ok(values)
    }

    /// The elements in row-major order as f64.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn to_vec_f64(&self) -> Result<Vec<f64>> {
        let flat = self.detach()?.to_device(Device::Cpu)?.to_dtype(Dtype::F64)?.contiguous()?;
        let mut values = vec![0f64; flat.numel()];
        let numel = values.len();
        flat.0.f_copy_data(&mut values, numel).map_err(|e| TensorError::torch("to_vec_f64", &[&flat.0], &e))?;
        Ok(values)
    }

    /// The only element.
    ///
    /// # Errors
    /// More or fewer elements than one.
    pub fn to_f64(&self) -> Result<f64> {
        if self.numel() != 1 {
            return Err(TensorError::Length { op: "to_f64", found: self.numel(), shape: vec![1] });
        }
        self.0
            .f_reshape([1])
            .and_then(|t| t.f_double_value(&[0]))
            .map_err(|e| TensorError::torch("to_f64", &[&self.0], &e))
    }

    /// The elements themselves, if they are f32, contiguous and on the CPU.
    ///
    /// # Errors
    /// Another type, device or layout.
    pub fn as_f32(&self) -> Result<&[f32]> {
        self.check_plain("as_f32", Dtype::F32)?;
        let (data, numel) = (self.0.data_ptr().cast::<f32>(), self.numel());
        if numel == 0 {
            return Ok(&[]);
        }
        // SAFETY: contiguous CPU memory of `numel` f32, kept alive by `self`.
        Ok(unsafe { std::slice::from_raw_parts(data, numel) })
    }

    /// The elements themselves, to be written in place. Shallow clones see the change.
    ///
    /// # Errors
    /// Another type, device or layout.
    pub fn as_f32_mut(&mut self) -> Result<&mut [f32]> {
        self.check_plain("as_f32_mut", Dtype::F32)?;
        let (data, numel) = (self.0.data_ptr().cast::<f32>(), self.numel());
        if numel == 0 {
            return Ok(&mut []);
        }
        // SAFETY: contiguous CPU memory of `numel` f32, kept alive by `self`; the caller holds the
        // only Rust reference made from this handle.
        Ok(unsafe { std::slice::from_raw_parts_mut(data, numel) })
    }

    /// The raw bytes, if contiguous and on the CPU: for writing files without a copy.
    ///
    /// # Errors
    /// Another device or layout.
    pub fn as_bytes(&self) -> Result<&[u8]> {
        let dtype = self.dtype();
        self.check_plain("as_bytes", dtype)?;
        let bytes = self.numel() * dtype.bytes();
        if bytes == 0 {
            return Ok(&[]);
        }
        // SAFETY: contiguous CPU memory of `numel` elements of that size, kept alive by `self`.
        Ok(unsafe { std::slice::from_raw_parts(self.0.data_ptr().cast::<u8>(), bytes) })
    }

    /// libtorch reports strides for meta information only; a slice needs plain memory.
    fn check_plain(&self, op: &'static str, dtype: Dtype) -> Result<()> {
        let plain = self.is_contiguous() && self.device() == Device::Cpu && self.dtype() == dtype;
        if plain {
            return Ok(());
        }
        Err(TensorError::Layout {
            op,
            found: format!("{self:?}, contiguous: {}", self.is_contiguous()),
            expected: "a contiguous tensor of that dtype on the CPU",
        })
    }
}
