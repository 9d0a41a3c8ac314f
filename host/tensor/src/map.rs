//! Weights straight from a memory-mapped file: no copy, and only touched pages are read.
//!
//! The mapping is private: a write to a tensor changes its page in memory, never the file.
//! libtorch keeps the mapping alive through a deleter that owns a share of it.

use super::{Dtype, Result, Tensor, TensorError};
use memmap2::{MmapMut, MmapOptions};
use std::ffi::c_void;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Deleter = unsafe extern "C" fn(*mut c_void, *mut c_void);

unsafe extern "C" {
    /// In libtorch_cpu since 2.11: `torch/csrc/stable/c/shim.h`.
    fn torch_from_blob(
        data: *mut c_void,
        ndim: i64,
        sizes: *const i64,
        strides: *const i64,
        storage_offset: i64,
        dtype: i32,
        device_type: i32,
        device_index: i32,
        ret: *mut *mut c_void,
        layout: i32,
        opaque: *const u8,
        opaque_len: i64,
        deleter: Option<Deleter>,
        ctx: *mut c_void,
    ) -> i32;
}

/// The bytes of a file, mapped privately. Clones share the mapping.
#[derive(Clone)]
pub struct MappedBytes {
    path: PathBuf,
    map: Arc<MmapMut>,
}

impl MappedBytes {
    /// Maps an open file; `path` is for messages.
    ///
    /// # Errors
    /// A file that cannot be mapped.
    pub fn new(file: &File, path: &Path) -> Result<Self> {
        // SAFETY: a private copy-on-write mapping. Another process that truncates the file can
        // still raise SIGBUS: the loader compares size and time before and after its checks.
        let map = unsafe { MmapOptions::new().map_copy(file) };
        match map {
            Ok(map) => Ok(MappedBytes { path: path.to_owned(), map: Arc::new(map) }),
            Err(source) => Err(TensorError::Map { path: path.to_owned(), source }),
        }
    }

    /// All bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// A tensor over `start..` of the file, without a copy.
    ///
    /// # Errors
    /// A range that lies outside the file.
    pub fn tensor(&self, start: usize, dtype: Dtype, shape: &[i64]) -> Result<Tensor> {
        let length = shape.iter().try_fold(dtype.bytes(), |n, &d| usize::try_from(d).ok()?.checked_mul(n));
        let end = length.and_then(|n| start.checked_add(n)).unwrap_or(usize::MAX);
        let Some(bytes) = self.map.get(start..end) else {
            let len = self.map.len();
            return Err(TensorError::MapRange { path: self.path.clone(), start, end, len });
        };
        if bytes.is_empty() || bytes.as_ptr().align_offset(dtype.bytes().max(1)) != 0 {
            return copy_from_bytes(bytes, dtype, shape);
        }
        self.borrowed(bytes.as_ptr(), dtype, shape)
    }

    fn borrowed(&self, data: *const u8, dtype: Dtype, shape: &[i64]) -> Result<Tensor> {
        let strides = row_major_strides(shape);
        let context = Box::into_raw(Box::new(Arc::clone(&self.map)));
        let mut handle: *mut c_void = std::ptr::null_mut();
        // SAFETY: `data` points at enough bytes inside the mapping (checked by the caller), which
        // `context` keeps alive until libtorch calls `release`; sizes and strides outlive the call.
        let status = unsafe {
            torch_from_blob(
                data.cast_mut().cast(),
                shape.len() as i64,
                shape.as_ptr(),
                strides.as_ptr(),
                0,
                scalar_type(dtype),
                0,
                -1,
                &raw mut handle,
                0,
                std::ptr::null(),
                0,
                Some(release),
                context.cast(),
            )
        };
        if status != 0 || handle.is_null() {
            // SAFETY: on failure libtorch took no ownership of the context.
            drop(unsafe { Box::from_raw(context) });
            return Err(TensorError::Layout {
                op: "map",
                found: format!("{dtype:?} {shape:?} in {}", self.path.display()),
                expected: "a tensor that libtorch can lay over a file",
            });
        }
        // SAFETY: the handle is a fresh `at::Tensor*` that we own.
        Ok(Tensor(unsafe { tch::Tensor::from_ptr(handle.cast()) }))
    }
}

/// Called by libtorch when the last tensor over the mapping goes.
unsafe extern "C" fn release(_data: *mut c_void, context: *mut c_void) {
    // SAFETY: `context` is the box made in `borrowed`, given back exactly once.
    drop(unsafe { Box::from_raw(context.cast::<Arc<MmapMut>>()) });
}

/// Files whose data is not aligned for its type (or is empty) are copied; Hugging Face's never are.
fn copy_from_bytes(bytes: &[u8], dtype: Dtype, shape: &[i64]) -> Result<Tensor> {
    tch::Tensor::f_from_data_size(bytes, shape, super::dtype::to_kind(dtype))
        .map(Tensor)
        .map_err(|e| TensorError::torch("map", &[], &e))
}

fn row_major_strides(shape: &[i64]) -> Vec<i64> {
    let mut strides = vec![1i64; shape.len()];
    let mut stride = 1i64;
    for (slot, &size) in strides.iter_mut().zip(shape).rev() {
        *slot = stride;
        stride = stride.saturating_mul(size.max(1));
    }
    strides
}

/// `c10::ScalarType`.
fn scalar_type(dtype: Dtype) -> i32 {
    match dtype {
        Dtype::U8 | Dtype::Other => 0,
        Dtype::I8 => 1,
        Dtype::I16 => 2,
        Dtype::I32 => 3,
        Dtype::I64 => 4,
        Dtype::F16 => 5,
        Dtype::F32 => 6,
        Dtype::F64 => 7,
        Dtype::Bool => 11,
        Dtype::BF16 => 15,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file_of(values: &[f32]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for value in values {
            file.write_all(&value.to_le_bytes()).unwrap();
        }
        file
    }

    #[test]
    fn a_tensor_outlives_the_handle_and_the_file_name() {
        let file = file_of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let map = MappedBytes::new(file.as_file(), file.path()).unwrap();
        let tensor = map.tensor(4, Dtype::F32, &[2, 3]).unwrap();
        drop((map, file));
        assert_eq!(tensor.to_vec_f32().unwrap(), [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    }

    #[test]
    fn past_the_end_and_overflow_are_refused() {
        let file = file_of(&[0.0; 4]);
        let map = MappedBytes::new(file.as_file(), file.path()).unwrap();
        for (start, shape) in [(4, vec![4]), (0, vec![i64::MAX, 8]), (usize::MAX, vec![1]), (0, vec![-1])] {
            let error = map.tensor(start, Dtype::F32, &shape).err().unwrap().to_string();
            assert!(error.contains("the file has 16"), "{error}");
        }
        assert_eq!(map.tensor(16, Dtype::F32, &[0, 3]).unwrap().shape(), [0, 3]);
    }
}
