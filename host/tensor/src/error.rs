//! The errors of the tensor engine: the operation, the shapes it saw, libtorch's own words.

use std::path::PathBuf;

/// The result of a tensor operation.
pub type Result<T> = std::result::Result<T, TensorError>;

/// A failed tensor operation.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// libtorch refused the call.
    #[error("{op} on {shapes}: {message}")]
    Torch { op: &'static str, shapes: String, message: String },

    /// A dimension that the tensor does not have.
    #[error("dimension {dim} of a tensor of shape {shape:?}: no such dimension")]
    Dimension { dim: i64, shape: Vec<i64> },

    /// Data and shape disagree.
    #[error("{op}: {found} elements for the shape {shape:?}")]
    Length { op: &'static str, found: usize, shape: Vec<i64> },

    /// The operation needs another element type, place or layout.
    #[error("{op}: found {found}, expected {expected}")]
    Layout { op: &'static str, found: String, expected: &'static str },

    /// A device name that is not understood.
    #[error("device `{found}`: expected `cpu`, `cuda` or `cuda:N`")]
    DeviceName { found: String },

    /// CUDA was asked for and is not there.
    #[error(
        "device `cuda:{index}`: {found} CUDA devices; use device = \"cpu\", or put the CUDA libtorch on LD_LIBRARY_PATH"
    )]
    NoCuda { index: usize, found: i64 },

    /// The CUDA backend is there and does not load.
    #[error(
        "loading libtorch_cuda.so: {message}; install the missing CUDA library, or remove the CUDA libtorch from LD_LIBRARY_PATH"
    )]
    CudaBackend { message: String },

    /// The libtorch found at run time is not the one the program was built for.
    #[error("libtorch {found} found, {expected} expected; run scripts/setup-libtorch.py or mend LD_LIBRARY_PATH")]
    Version { found: String, expected: &'static str },

    /// A file could not be mapped.
    #[error("{path}: cannot be mapped into memory: {source}")]
    Map { path: PathBuf, source: std::io::Error },

    /// A tensor that would lie outside its file.
    #[error("{path}: bytes {start}..{end} asked for, the file has {len}")]
    MapRange { path: PathBuf, start: usize, end: usize, len: usize },
}

impl TensorError {
    /// True where libtorch found no memory for a tensor.
    pub fn is_out_of_memory(&self) -> bool {
        // It has no code for that: its allocators, of the CPU and of CUDA, say so in words alone.
        matches!(self, Self::Torch { message, .. } if message.contains("memory"))
    }

    /// Wraps libtorch's error with the operation and the shapes it was given.
    pub(crate) fn torch(op: &'static str, operands: &[&tch::Tensor], source: &tch::TchError) -> Self {
        let shapes = operands
            .iter()
            .map(|t| if t.defined() { format!("{:?} {:?}", t.kind(), t.size()) } else { "undefined".to_owned() })
            .collect::<Vec<_>>()
            .join(" and ");
        let shapes = if shapes.is_empty() { "no operands".to_owned() } else { shapes };
        TensorError::Torch { op, shapes, message: first_lines(&source.to_string()) }
    }
}

/// libtorch appends a C++ back trace to its messages; people need the part before it.
fn first_lines(message: &str) -> String {
    let message = message.trim_start_matches("Internal torch error: ");
    let end = message.find("\nException raised from").unwrap_or(message.len());
    message.get(..end).unwrap_or(message).trim().replace('\n', "; ")
}
