//! Rotary positions: pairs `(x_i, x_{i + r/2})` of each head are turned by `position · f_i`.
//!
//! The frequencies `f_i` are those of `rope_scaling`, for the `r` rotated dimensions of a head (all, or a share of them).
//! `y = x · cos + swap(x) · sin`, where `swap` exchanges the halves and `sin` carries the sign.

use super::rope_scaling::Rope;
use scaleot_tensor::Result;
use scaleot_tensor::{Device, Dtype, Tensor};

/// `cos` and signed `sin` of every token of a batch: `[tokens, 1, dims]`.
#[derive(Clone)]
pub struct RopeTables {
    pub cos: Tensor,
    pub sin: Tensor,
    pub dims: usize,
}

impl Rope {
    /// The tables of a batch, computed once and used by every layer.
    ///
    /// # Errors
    /// An operation that libtorch refuses.
    pub fn tables(&self, positions: &[i64], dtype: Dtype, device: Device) -> Result<RopeTables> {
        let frequencies = self.frequencies();
        let factor = self.attention_factor as f32;
        let mut cos = Vec::with_capacity(positions.len() * self.dims);
        let mut sin = Vec::with_capacity(positions.len() * self.dims);
        for &position in positions {
            let angles = frequencies.iter().map(|f| (position as f32 * f).sin_cos());
            let (sines, cosines): (Vec<f32>, Vec<f32>) = angles.map(|(sin, cos)| (sin * factor, cos * factor)).unzip();
            cos.extend(cosines.iter().chain(&cosines));
            sin.extend(sines.iter().map(|s| -s));
            sin.extend(&sines);
        }
        let shape = [positions.len() as i64, 1, self.dims as i64];
        let place =
            |values: &[f32]| -> Result<Tensor> { Tensor::from_f32(values, &shape)?.to_dtype(dtype)?.to_device(device) };
        Ok(RopeTables { cos: place(&cos)?, sin: place(&sin)?, dims: self.dims })
    }
}

impl RopeTables {
    /// The tables of some of the tokens.
    ///
    /// # Errors
    /// An operation that libtorch refuses.
    pub fn select(&self, rows: &Tensor) -> Result<RopeTables> {
        let (cos, sin) = (self.cos.index_select(0, rows)?, self.sin.index_select(0, rows)?);
        Ok(RopeTables { cos, sin, dims: self.dims })
    }

    /// Turns `x` `[tokens, heads, head_dim]`; dimensions from `dims` on pass through.
    ///
    /// # Errors
    /// An operation that libtorch refuses.
    pub fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let head_dim = x.size(-1)?;
        let dims = self.dims as i64;
        if dims == head_dim {
            return self.rotate_half(x);
        }
        let turned = self.rotate_half(&x.narrow(-1, 0, dims)?)?;
        Tensor::cat(&[turned, x.narrow(-1, dims, head_dim - dims)?], -1)
    }

    fn rotate_half(&self, x: &Tensor) -> Result<Tensor> {
        let swapped = x.roll(self.dims as i64 / 2, -1)?;
        x.mul(&self.cos)?.add_product(&swapped, &self.sin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RopeScaling;

    fn rope(scaling: RopeScaling) -> Rope {
        Rope { scaling, ..Rope::plain(10_000.0, 8) }
    }

    #[test]
    fn a_rotation_keeps_lengths_and_depends_on_distance_only() {
        let tables = rope(RopeScaling::None).tables(&[3, 7, 13, 17], Dtype::F32, Device::Cpu).unwrap();
        let row: Vec<f32> = (0..8u8).map(|i| f32::from(i) - 3.5).collect();
        let x = Tensor::from_f32(&row.repeat(4), &[4, 1, 8]).unwrap();
        let y = tables.rotate(&x).unwrap().reshape(&[4, 8]).unwrap();
        let products = y.matmul(&y.transpose(0, 1).unwrap()).unwrap().to_vec_f32().unwrap();
        let norm: f32 = row.iter().map(|v| v * v).sum();
        assert!((products[0] - norm).abs() < 1e-3);
        // Positions 3 and 7 are as far apart as 13 and 17.
        assert!((products[1] - products[11]).abs() < 1e-3);
    }

    #[test]
    fn llama3_leaves_short_waves_and_stretches_long_ones() {
        let plain = rope(RopeScaling::None).frequencies();
        let scaling = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original_context: 64.0 };
        let scaled = rope(scaling).frequencies();
        assert_eq!(plain[0].to_bits(), scaled[0].to_bits());
        assert!((plain[3] / scaled[3] - 8.0).abs() < 1e-4);
        let linear = rope(RopeScaling::Linear { factor: 2.0 }).frequencies();
        assert!((plain[2] / linear[2] - 2.0).abs() < 1e-6);
    }
}
