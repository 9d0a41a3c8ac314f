//! Factorisations, in the precision of the tensor, on its device.

use super::{Result, Tensor, TensorError};

/// `A = U · diag(S) · Vᵀ`, thin: for `A` `[m, n]` and `k = min(m, n)`, `u` `[m, k]`, `s` `[k]`
/// descending, `v` `[n, k]`.
pub struct Svd {
    pub u: Tensor,
    pub s: Tensor,
    pub v: Tensor,
}

impl Tensor {
    /// The thin singular value decomposition of a matrix.
    ///
    /// `linalg_svd` cannot be used: tch always passes a driver name, which the CPU refuses.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn svd(&self) -> Result<Svd> {
        self.0
            .f_svd(true, true)
            .map(|(u, s, v)| Svd { u: Tensor(u), s: Tensor(s), v: Tensor(v) })
            .map_err(|e| TensorError::torch("svd", &[&self.0], &e))
    }

    /// Eigenvalues, ascending `[n]`, and eigenvectors, as columns `[n, n]`, of a symmetric matrix.
    ///
    /// # Errors
    /// Shapes or types that libtorch refuses.
    pub fn eigh(&self) -> Result<(Tensor, Tensor)> {
        self.0
            .f_linalg_eigh("L")
            .map(|(values, vectors)| (Tensor(values), Tensor(vectors)))
            .map_err(|e| TensorError::torch("eigh", &[&self.0], &e))
    }

    /// `A = Q R`, reduced: `q` has orthonormal columns.
    #[cfg(test)]
    pub(crate) fn qr(&self) -> Result<(Tensor, Tensor)> {
        tch::Tensor::f_linalg_qr(&self.0, "reduced")
            .map(|(q, r)| (Tensor(q), Tensor(r)))
            .map_err(|e| TensorError::torch("qr", &[&self.0], &e))
    }
}

#[cfg(test)]
mod tests {
    use crate::{NormalStream, Tensor};

    #[test]
    fn svd_puts_the_matrix_together_again() {
        let a = NormalStream::new(1, 0).tensor(&[7, 5], 1.0).unwrap();
        let svd = a.svd().unwrap();
        assert_eq!(svd.u.shape(), [7, 5]);
        assert_eq!(svd.v.shape(), [5, 5]);
        let again = svd.u.mul(&svd.s).unwrap().matmul(&svd.v.transpose(0, 1).unwrap()).unwrap();
        assert!(again.sub(&a).unwrap().abs().unwrap().max_all().unwrap().to_f64().unwrap() < 1e-5);
    }

    #[test]
    fn eigh_of_a_known_matrix() {
        let a = Tensor::from_f32(&[2.0, 1.0, 1.0, 2.0], &[2, 2]).unwrap();
        let (values, _) = a.eigh().unwrap();
        let values = values.to_vec_f32().unwrap();
        assert!((values[0] - 1.0).abs() < 1e-6 && (values[1] - 3.0).abs() < 1e-6);
    }
}
