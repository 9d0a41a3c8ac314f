//! One variant for each way in which a safetensors header can be wrong, and the limits that we set.
//!
//! File, tensor and byte offset are put around these messages by [`super::StoreError`].

use super::dtype::Dtype;

/// The longest header that is read.
pub(crate) const MAX_HEADER: u64 = 16 << 20;
/// The most tensors in one file.
pub(crate) const MAX_TENSORS: usize = 100_000;
/// The most dimensions of one tensor.
pub(crate) const MAX_DIMS: usize = 8;
/// The most bytes of free text in a header.
pub(crate) const MAX_METADATA: usize = 1 << 20;
/// The most elements of one tensor.
pub(crate) const MAX_ELEMENTS: u64 = 1 << 40;

/// A fault at one byte of a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("found a file of {found} bytes, expected at least 8 for the header's length")]
    TooShort { found: u64 },
    #[error("found a header length of {found}, expected 2 to {MAX_HEADER}")]
    HeaderLength { found: u64 },
    #[error("found a header length of {found}, expected at most the {rest} bytes that follow it")]
    HeaderPastEnd { found: u64, rest: u64 },
    #[error("found a byte that is not UTF-8")]
    NotUtf8,
    #[error("found byte {found:#04x}, expected `{{`")]
    NotAnObject { found: u8 },
    #[error("{0}")]
    Json(String),
    #[error("found `{found}` after the header's last `}}`, expected spaces only")]
    Tail { found: String },
    #[error("the name stands twice")]
    DuplicateName,
    #[error("the key `{key}` stands twice")]
    DuplicateKey { key: String },
    #[error("found the key `{key}`, expected `dtype`, `shape` or `data_offsets`")]
    UnknownKey { key: String },
    #[error("the key `{key}` is missing")]
    MissingKey { key: &'static str },
    #[error("found this name, expected 1 to 200 letters, digits, `_` or `.`")]
    BadName,
    #[error("found more than {MAX_TENSORS} tensors")]
    TooManyTensors,
    #[error("found dtype `{found}`, expected one of {}{}", Dtype::stored_names().join(", "), Quantised(found))]
    DtypeNotTaken { found: String },
    #[error("found more than {MAX_DIMS} dimensions")]
    TooManyDims,
    #[error("found a dimension of 0, expected at least 1")]
    ZeroDim,
    #[error("found {found} as a {what}, expected a whole number without sign, fraction or exponent, below 2^64")]
    NotWhole { what: &'static str, found: String },
    #[error("found shape {shape:?}, expected at most 2^40 elements")]
    TooManyElements { shape: Vec<u64> },
    #[error("found {found} data offsets, expected a start and an end")]
    OffsetCount { found: usize },
    #[error("found the range {start}..{end}, which runs backwards")]
    RangeReversed { start: u64, end: u64 },
    #[error("found the range {start}..{end}, expected its end at most at {data}, the end of the data")]
    RangePastEnd { start: u64, end: u64, data: u64 },
    #[error("found a range of {found} bytes, expected {expected} for shape {shape:?} of {dtype}")]
    RangeSize { found: u64, expected: u64, shape: Vec<u64>, dtype: Dtype },
    #[error("the range {start}..{end} overlaps that of tensor `{other}`, which ends at {other_end}")]
    Overlap { start: u64, end: u64, other: String, other_end: u64 },
    #[error("bytes {start}..{end} of the data belong to no tensor")]
    Hole { start: u64, end: u64 },
    #[error("found {found} bytes after the last tensor, expected none")]
    Trailing { found: u64 },
    #[error("found more than {MAX_METADATA} bytes of `__metadata__`")]
    MetadataTooLarge,
}

/// Says of a dtype that only quantised weights have (MLX packs them into U32) what it means.
struct Quantised<'a>(&'a str);

impl std::fmt::Display for Quantised<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if ["F8", "F6", "F4", "U32"].iter().any(|narrow| self.0.starts_with(narrow)) {
            f.write_str("; quantised weights are not read, write the model in bf16, fp16 or fp32")?;
        }
        Ok(())
    }
}
