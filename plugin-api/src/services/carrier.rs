//! The carrier of a plugin's questions to the host: operations by number, structured questions by name.
//!
//! Numbers are only ever added, so an older plugin runs on a newer host. Authors use [`crate::Host`].

use crate::error::PluginError;
use crate::tensor::{DlTensor, Handle, ReleaseTensor};
use std::rc::Rc;

/// The most tensors that one operation returns.
pub const MAX_OUTPUTS: usize = 4;

macro_rules! tensor_ops {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Tensor operations by number. Numbers are part of the contract: never reused, only added.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        #[non_exhaustive]
        pub enum TensorOp { $($(#[$doc])* $name = $code,)* }

        impl TensorOp {
            /// The operation of a number, if this version of the contract has it.
            #[must_use]
            pub const fn from_code(code: u32) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

tensor_ops! {
    /// `a + b`, with broadcasting.
    Add = 0,
    /// `a - b`, with broadcasting.
    Sub = 1,
    /// `a * b` value by value, with broadcasting.
    Mul = 2,
    /// `a / b` value by value, with broadcasting.
    Div = 3,
    /// `a * floats[0] + floats[1]`.
    Affine = 4,
    /// `a b`, `[m, k] x [k, n]`.
    MatMul = 5,
    /// Swaps the two dimensions of a matrix.
    Transpose = 6,
    /// `ints = [dim, start, length]`.
    Narrow = 7,
    /// Joins along `ints[0]`.
    Cat = 8,
    /// Sum over everything, or over `ints[0]`.
    Sum = 9,
    /// Mean over everything, or over `ints[0]`.
    Mean = 10,
    /// Frobenius norm, `[]`.
    Norm = 11,
    /// `|a|`.
    Abs = 12,
    /// Square root.
    Sqrt = 13,
    /// `e^a`.
    Exp = 14,
    /// Thin SVD: `U [m, k]`, `S [k]` descending, `V [n, k]`.
    Svd = 15,
    /// Eigenvalues `[n]` ascending and vectors `[n, n]` of a symmetric matrix.
    SymmetricEigen = 16,
    /// Normal values, mean 0, deviation `floats[0]`; `ints = [seed, sizes...]`.
    RandomNormal = 17,
    /// Uniform values in `[-floats[0], floats[0])`; `ints = [seed, sizes...]`.
    RandomUniform = 18,
    /// Zeros of sizes `ints`.
    Zeros = 19,
    /// An independent copy as fp32 on the CPU, row by row: what can be read in place.
    Copy = 20,
}

/// The carrier of a plugin's questions. Authors use [`crate::Host`].
pub trait HostServices {
    /// Runs an operation; the handles of its results go to the front of `outputs`.
    ///
    /// # Errors
    /// `Host` with the operation, and the shapes that do not fit.
    fn tensor_op(
        &mut self,
        op: TensorOp,
        inputs: &[Handle],
        arguments: OpArguments<'_>,
        outputs: &mut [Handle; MAX_OUTPUTS],
    ) -> Result<usize, PluginError>;

    /// A new fp32 tensor of these values.
    ///
    /// # Errors
    /// `Host` when the count is not the product of the sizes.
    fn tensor_from_f32(&mut self, values: &[f32], shape: &[i64]) -> Result<Handle, PluginError>;

    /// A look into a tensor's memory, valid until the call into the plugin returns.
    ///
    /// # Errors
    /// `Host` for an unknown handle.
    fn tensor_view(&mut self, handle: Handle) -> Result<DlTensor, PluginError>;

    /// Answers a named question; both sides in JSON.
    ///
    /// # Errors
    /// `Unsupported` for a name that this host does not know.
    fn request(&mut self, name: &str, question: &[u8]) -> Result<Vec<u8>, PluginError>;

    /// The receiver of dropped tensors; lives as long as the strategy does.
    fn releaser(&self) -> Rc<dyn ReleaseTensor>;
}

/// The numbers that go with an operation.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct OpArguments<'a> {
    /// Sizes, dimensions, seeds.
    pub ints: &'a [i64],
    /// Factors.
    pub floats: &'a [f64],
}
