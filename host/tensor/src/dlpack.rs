//! Parts of a DLPack view of a tensor: address, strides, and the codes of `DLDataType` and `DLDeviceType` (DLPack 0.8).

use super::{Device, Dtype, Tensor};
use std::ffi::c_void;

impl Tensor {
    /// Elements between neighbours of each dimension.
    pub fn strides(&self) -> Vec<i64> {
        self.0.stride()
    }

    /// The first element, storage offset included.
    pub fn data_ptr(&self) -> *const c_void {
        self.0.data_ptr().cast_const()
    }

    /// `(code, bits)` of the element type: 0 signed, 1 unsigned, 2 float, 4 bfloat, 6 bool.
    pub fn dlpack_dtype(&self) -> Option<(u8, u8)> {
        Some(match self.dtype() {
            Dtype::F32 => (2, 32),
            Dtype::F64 => (2, 64),
            Dtype::F16 => (2, 16),
            Dtype::BF16 => (4, 16),
            Dtype::I64 => (0, 64),
            Dtype::I32 => (0, 32),
            Dtype::I16 => (0, 16),
            Dtype::I8 => (0, 8),
            Dtype::U8 => (1, 8),
            Dtype::Bool => (6, 8),
            Dtype::Other => return None,
        })
    }
}

impl Device {
    /// `(type, index)`: 1 CPU, 2 CUDA.
    pub fn dlpack(self) -> (i32, i32) {
        match self {
            Device::Cpu => (1, 0),
            Device::Cuda(index) => (2, i32::try_from(index).unwrap_or(0)),
        }
    }
}
