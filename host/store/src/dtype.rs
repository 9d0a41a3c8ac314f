//! The types of a tensor's elements, in files and in memory.

use std::fmt;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
    /// Quantised, complex or 8-bit floating point: found in memory alone, and never made here.
    Other,
}

impl Dtype {
    /// All types that a file may have.
    const STORED: [Self; 10] =
        [Self::F64, Self::F32, Self::F16, Self::BF16, Self::I64, Self::I32, Self::I16, Self::I8, Self::U8, Self::Bool];

    /// The type of a safetensors header's name, if we read it.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::STORED.into_iter().find(|dtype| dtype.name() == name)
    }

    /// The safetensors names of all types that a file may have.
    pub(crate) fn stored_names() -> [&'static str; 10] {
        Self::STORED.map(Self::name)
    }

    /// The name in a safetensors header.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
            Self::Other => "OTHER",
        }
    }

    /// The name in a `config.json`.
    pub fn config_name(self) -> &'static str {
        match self {
            Self::F64 => "float64",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            _ => "float32",
        }
    }

    /// The size of one element in bytes; 0 for [`Dtype::Other`].
    pub fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::Other => 0,
        }
    }

    /// True for the types that weights may have.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
