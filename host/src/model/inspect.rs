//! Are the numbers numbers? Every weight is read once, as stored, before anything is computed.
//!
//! A float is NaN or infinite exactly when all bits of its exponent are set, so one mask and one
//! comparison per value answer, at the speed of memory.

use super::error::{ModelError, Result};
use super::names::Names;
use super::weights::{Entry, Weights};
use crate::tensor::Dtype;

/// Values looked at before asking whether any was bad.
const BLOCK: usize = 4096;

/// Refuses the first tensor with a value that is not finite, or with nothing but zeros where that
/// cannot be: an embedding, a head or the scale of a norm.
pub(super) fn check_values(weights: &Weights, names: &Names) -> Result<()> {
    let tables = [names.embedding(), names.head()];
    for (name, entry, bytes) in weights.all() {
        let found = match entry.dtype {
            Some(Dtype::F32) => first_bad::<4>(bytes, 0x7f80_0000),
            Some(Dtype::BF16) => first_bad::<2>(bytes, 0x7f80),
            Some(Dtype::F16) => first_bad::<2>(bytes, 0x7c00),
            _ => None,
        };
        if let Some(index) = found {
            return Err(not_finite(weights, name, entry, index));
        }
        let is_scale = entry.shape.len() == 1 && name.ends_with(".weight");
        if (is_scale || tables.iter().any(|t| t == name)) && is_all_zero(bytes) {
            let last = entry.shape.iter().product::<i64>().max(1) as usize - 1;
            let (path, tensor) = (weights.file_of(name).to_owned(), name.to_owned());
            return Err(ModelError::AllZero { path, tensor, last });
        }
    }
    Ok(())
}

fn not_finite(weights: &Weights, name: &str, entry: &Entry, index: usize) -> ModelError {
    let size = entry.dtype.map_or(1, Dtype::bytes);
    let value = weights.bytes(name).and_then(|b| b.get(index * size..(index + 1) * size)).unwrap_or_default();
    // Mantissa and sign tell the two infinities from NaN; the top byte holds the sign.
    let negative = value.last().is_some_and(|b| b & 0x80 != 0);
    let mantissa_bits = match entry.dtype {
        Some(Dtype::F32) => 23,
        Some(Dtype::BF16) => 7,
        _ => 10,
    };
    let word = value.iter().rev().fold(0u32, |word, &byte| (word << 8) | u32::from(byte));
    let found = match (word & ((1 << mantissa_bits) - 1), negative) {
        (0, false) => "infinite",
        (0, true) => "minus infinite",
        _ => "NaN",
    };
    let (path, tensor) = (weights.file_of(name).to_owned(), name.to_owned());
    ModelError::NotFinite { path, tensor, index, found: found.to_owned() }
}

/// The index of the first little-endian word of `N` bytes whose `exponent` bits are all set.
fn first_bad<const N: usize>(bytes: &[u8], exponent: u32) -> Option<usize> {
    let is_bad = |word: &[u8; N]| {
        let mut wide = [0u8; 4];
        for (to, from) in wide.iter_mut().zip(word) {
            *to = *from;
        }
        u32::from_le_bytes(wide) & exponent == exponent
    };
    let words = bytes.as_chunks::<N>().0;
    words.chunks(BLOCK).enumerate().find_map(|(block, words)| {
        // No early exit inside a block: that keeps the loop vectorised.
        let any = words.iter().fold(false, |any, word| any | is_bad(word));
        any.then(|| words.iter().position(is_bad).map(|i| block * BLOCK + i)).flatten()
    })
}

fn is_all_zero(bytes: &[u8]) -> bool {
    // The sign bit of a negative zero is not worth a special case: no writer makes tensors of them.
    !bytes.is_empty() && bytes.iter().all(|&b| b == 0)
}

#[cfg(test)]
mod tests {
    use super::first_bad;

    #[test]
    fn nan_and_infinity_are_found_in_every_format() {
        let mut values = vec![1.0f32; 10_000];
        let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        assert_eq!(first_bad::<4>(&bytes(&values), 0x7f80_0000), None);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            values[9_001] = bad;
            assert_eq!(first_bad::<4>(&bytes(&values), 0x7f80_0000), Some(9_001));
        }
        values[9_001] = f32::MAX;
        assert_eq!(first_bad::<4>(&bytes(&values), 0x7f80_0000), None);
        assert_eq!(first_bad::<2>(&[0x00, 0x3c, 0x00, 0x7c], 0x7c00), Some(1));
        assert_eq!(first_bad::<2>(&[0x80, 0x3f, 0xc0, 0x7f], 0x7f80), Some(1));
    }
}
