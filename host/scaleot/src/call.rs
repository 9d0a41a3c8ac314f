//! The circumstances of a call of the program, handed to the function of its verb.

use super::args::Global;
use super::output::Output;
use scaleot_tensor::TensorError;

/// The circumstances that every verb's function is given.
pub struct Call<'a> {
    pub global: &'a Global,
    pub output: Output,
    /// True where the CUDA half of libtorch was there; the error of a half that could not be loaded.
    pub backend: Result<bool, TensorError>,
}
