//! Finds values that are not finite in raw little-endian bytes, piece by piece.
//!
//! Rule: a float is infinite or NaN exactly where all bits of its exponent are set; integers always pass.
//! The same scan guards what we write and what we are sent.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use super::dtype::Dtype;
use super::error::StoreError;
use super::safetensors_file::{TensorEntry, TensorIndex};

/// A running scan over the bytes of one tensor.
pub struct FiniteScan {
    dtype: Dtype,
    /// The start of an element whose rest has not come yet.
    partial: Vec<u8>,
    elements: u64,
    fault: Option<(u64, &'static str)>,
}

impl FiniteScan {
    pub fn new(dtype: Dtype) -> Self {
        Self { dtype, partial: Vec::with_capacity(8), elements: 0, fault: None }
    }

    /// The index and kind of the first value that is not finite.
    pub fn fault(&self) -> Option<(u64, &'static str)> {
        self.fault
    }

    /// Takes the next bytes, which may end within an element.
    pub fn take(&mut self, mut bytes: &[u8]) {
        let width = match self.dtype {
            Dtype::F64 => 8,
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            _ => return,
        };
        if self.fault.is_some() {
            return;
        }
        if !self.partial.is_empty() {
            let (head, rest) = bytes.split_at((width - self.partial.len()).min(bytes.len()));
            self.partial.extend_from_slice(head);
            bytes = rest;
            if self.partial.len() < width {
                return;
            }
            let whole = std::mem::take(&mut self.partial);
            self.scan(&whole, width);
        }
        let (whole, partial) = bytes.split_at(bytes.len() - bytes.len() % width);
        self.scan(whole, width);
        self.partial.extend_from_slice(partial);
    }

    fn scan(&mut self, bytes: &[u8], width: usize) {
        let first = match self.dtype {
            Dtype::F64 => position(bytes, |b: [u8; 8]| fault_of(u64::from_le_bytes(b), 0x7ff0_0000_0000_0000)),
            Dtype::F32 => position(bytes, |b: [u8; 4]| fault_of(u32::from_le_bytes(b).into(), 0x7f80_0000)),
            Dtype::F16 => position(bytes, |b: [u8; 2]| fault_of(u16::from_le_bytes(b).into(), 0x7c00)),
            Dtype::BF16 => position(bytes, |b: [u8; 2]| fault_of(u16::from_le_bytes(b).into(), 0x7f80)),
            _ => None,
        };
        if self.fault.is_none() {
            self.fault = first.map(|(index, kind)| (self.elements + index, kind));
        }
        self.elements += (bytes.len() / width) as u64;
    }
}

fn position<const N: usize>(
    bytes: &[u8],
    kind: impl Fn([u8; N]) -> Option<&'static str>,
) -> Option<(u64, &'static str)> {
    let (elements, _) = bytes.as_chunks::<N>();
    elements.iter().enumerate().find_map(|(index, &element)| kind(element).map(|kind| (index as u64, kind)))
}

fn fault_of(bits: u64, exponent: u64) -> Option<&'static str> {
    if bits & exponent != exponent {
        return None;
    }
    let fraction = exponent & exponent.wrapping_neg();
    Some(if bits & (fraction - 1) == 0 { "infinity" } else { "NaN" })
}

/// Checks every floating-point value of a checked file; the first that is not finite is named.
///
/// # Errors
/// The first value that is not finite, or a file that cannot be read.
pub fn check_finite(index: &TensorIndex) -> Result<(), StoreError> {
    let path = index.path();
    let mut file = File::open(path).map_err(|source| StoreError::read(path, source))?;
    index.tensors().iter().try_for_each(|tensor| check_tensor(index, tensor, &mut file))
}

fn check_tensor(index: &TensorIndex, tensor: &TensorEntry, file: &mut File) -> Result<(), StoreError> {
    let unreadable = |source| StoreError::read(index.path(), source);
    file.seek(SeekFrom::Start(tensor.start)).map_err(unreadable)?;
    let mut scan = FiniteScan::new(tensor.dtype);
    let mut rest = file.take(tensor.byte_len());
    let mut piece = vec![0_u8; 1 << 18];
    loop {
        let taken = rest.read(&mut piece).map_err(unreadable)?;
        scan.take(piece.get(..taken).unwrap_or_default());
        if let Some((at, found)) = scan.fault() {
            let path = index.path().to_path_buf();
            return Err(StoreError::NotFinite { path, tensor: tensor.name.clone(), index: at, found });
        }
        if taken == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scan(dtype: Dtype, bytes: &[u8], piece: usize) -> Option<(u64, &'static str)> {
        let mut scan = FiniteScan::new(dtype);
        bytes.chunks(piece).for_each(|chunk| scan.take(chunk));
        scan.fault()
    }

    #[test]
    fn each_width_knows_its_infinities_and_nans() {
        let f32s: Vec<u8> =
            [1.0, f32::MAX, f32::MIN_POSITIVE, f32::NEG_INFINITY].iter().flat_map(|x: &f32| x.to_le_bytes()).collect();
        assert_eq!(scan(Dtype::F32, &f32s, 3), Some((3, "infinity")));
        let f64s: Vec<u8> = [f64::MAX, f64::NAN].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(scan(Dtype::F64, &f64s, 5), Some((1, "NaN")));
        assert_eq!(scan(Dtype::F16, &[0xff, 0x7b, 0x00, 0x7c], 1), Some((1, "infinity")));
        assert_eq!(scan(Dtype::F16, &[0xff, 0x7b, 0x01, 0xfc], 1), Some((1, "NaN")));
        assert_eq!(scan(Dtype::BF16, &[0x7f, 0x7f, 0xc0, 0x7f], 4), Some((1, "NaN")));
        assert_eq!(scan(Dtype::I32, &[0xff; 8], 4), None);
    }

    proptest! {
        #[test]
        fn agrees_with_the_standard_library(bits in prop::collection::vec(any::<u32>(), 0..40), piece in 1_usize..9) {
            let bytes: Vec<u8> = bits.iter().flat_map(|word| word.to_le_bytes()).collect();
            let expected = bits.iter().position(|&word| !f32::from_bits(word).is_finite());
            prop_assert_eq!(scan(Dtype::F32, &bytes, piece).map(|(at, _)| at as usize), expected);
        }
    }
}
