//! Arrays of the fake host: fp32 values with a shape and strides; views share their values, as libtorch's do.

use nalgebra::DMatrix;
use scaleot_plugin_api::{DlTensor, PluginError};
use std::rc::Rc;

/// More values than this in one array are a mistake in a test.
const MAX_VALUES: i64 = 1 << 26;

/// An n-dimensional array.
#[derive(Debug, Clone)]
pub(crate) struct Array {
    storage: Rc<[f32]>,
    offset: i64,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

impl Array {
    /// An array of values in order.
    pub(crate) fn new(values: Vec<f32>, shape: &[i64]) -> Result<Self, PluginError> {
        let count = count(shape)?;
        if values.len() != count {
            let found = values.len();
            return Err(PluginError::host(format!("{found} values were given for the shape {shape:?}")));
        }
        Ok(Self { storage: values.into(), offset: 0, shape: shape.to_vec(), strides: row_by_row(shape) })
    }

    /// A matrix, rounded to fp32.
    pub(crate) fn from_matrix(matrix: &DMatrix<f64>) -> Self {
        let shape = [signed(matrix.nrows()), signed(matrix.ncols())];
        let values: Rc<[f32]> = matrix.transpose().iter().map(|&value| value as f32).collect();
        Self { storage: values, offset: 0, shape: shape.to_vec(), strides: row_by_row(&shape) }
    }

    pub(crate) fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// The shape as sizes.
    pub(crate) fn sizes(&self) -> Vec<usize> {
        self.shape.iter().map(|&size| unsigned(size)).collect()
    }

    /// The values, row by row.
    pub(crate) fn values(&self) -> Vec<f32> {
        let mut places = vec![self.offset];
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            places = places.iter().flat_map(|&place| (0..size).map(move |i| place + i * stride)).collect();
        }
        places.into_iter().filter_map(|place| self.storage.get(unsigned(place)).copied()).collect()
    }

    pub(crate) fn is_finite(&self) -> bool {
        self.values().iter().all(|value| value.is_finite())
    }

    /// The array in fp64, if it has two dimensions.
    pub(crate) fn matrix(&self) -> Option<DMatrix<f64>> {
        let [rows, cols] = self.sizes()[..] else { return None };
        Some(DMatrix::from_row_iterator(rows, cols, self.values().into_iter().map(f64::from)))
    }

    /// A view with the two dimensions swapped, if there are two.
    pub(crate) fn transposed(&self) -> Option<Self> {
        let mut view = self.clone();
        view.shape.reverse();
        view.strides.reverse();
        (self.shape.len() == 2).then_some(view)
    }

    /// A view of `length` entries of a dimension, if they exist.
    pub(crate) fn narrowed(&self, dim: i64, start: i64, length: i64) -> Option<Self> {
        let dim = usize::try_from(dim).ok()?;
        let (&size, &stride) = (self.shape.get(dim)?, self.strides.get(dim)?);
        if start < 0 || length < 0 || start.checked_add(length)? > size {
            return None;
        }
        let mut view = self.clone();
        view.offset += start * stride;
        *view.shape.get_mut(dim)? = length;
        Some(view)
    }

    /// A view in a larger shape, aligned at the last dimension; sizes of 1 repeat.
    pub(crate) fn broadcast(&self, shape: &[i64]) -> Option<Self> {
        let missing = shape.len().checked_sub(self.shape.len())?;
        let mut strides = vec![0; missing];
        for ((&size, &stride), &wanted) in self.shape.iter().zip(&self.strides).zip(shape.iter().skip(missing)) {
            strides.push(match size {
                _ if size == wanted => stride,
                1 => 0,
                _ => return None,
            });
        }
        Some(Self { storage: Rc::clone(&self.storage), offset: self.offset, shape: shape.to_vec(), strides })
    }

    /// A DLPack view; its pointers hold while this array is kept.
    pub(crate) fn view(&self) -> DlTensor {
        DlTensor {
            data: self.storage.as_ptr().cast_mut().cast(),
            device_type: 1,
            device_id: 0,
            ndim: i32::try_from(self.shape.len()).unwrap_or(0),
            dtype_code: 2,
            dtype_bits: 32,
            dtype_lanes: 1,
            shape: self.shape.as_ptr().cast_mut(),
            strides: self.strides.as_ptr().cast_mut(),
            byte_offset: self.offset.unsigned_abs() * 4,
        }
    }
}

/// The number of values that a shape holds.
pub(crate) fn count(shape: &[i64]) -> Result<usize, PluginError> {
    let product = shape.iter().try_fold(1_i64, |product, &size| product.checked_mul(size).filter(|_| size >= 0));
    match product {
        Some(product) if product <= MAX_VALUES => Ok(unsigned(product)),
        _ => Err(PluginError::host(format!("{shape:?} is no shape, or one with too many values"))),
    }
}

pub(crate) fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn unsigned(size: i64) -> usize {
    usize::try_from(size).unwrap_or(0)
}

fn row_by_row(shape: &[i64]) -> Vec<i64> {
    let mut strides = vec![1; shape.len()];
    for dim in (1..shape.len()).rev() {
        strides[dim - 1] = strides[dim] * shape[dim].max(1);
    }
    strides
}
