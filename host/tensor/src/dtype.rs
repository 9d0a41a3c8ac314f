//! Element types: the ones weights come in, and the ones indices and masks need.

use super::{Result, TensorError};
use std::str::FromStr;

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    F32,
    F64,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
    /// Quantised, complex or 8-bit floating point: never made here.
    Other,
}

impl Dtype {
    /// The size of one element; 0 for [`Dtype::Other`].
    pub fn bytes(self) -> usize {
        match self {
            Dtype::F64 | Dtype::I64 => 8,
            Dtype::F32 | Dtype::I32 => 4,
            Dtype::F16 | Dtype::BF16 | Dtype::I16 => 2,
            Dtype::I8 | Dtype::U8 | Dtype::Bool => 1,
            Dtype::Other => 0,
        }
    }

    /// Whether weights may have this type.
    pub fn is_float(self) -> bool {
        matches!(self, Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::BF16)
    }

    /// The name in a safetensors header.
    pub fn safetensors_name(self) -> &'static str {
        match self {
            Dtype::F32 => "F32",
            Dtype::F64 => "F64",
            Dtype::F16 => "F16",
            Dtype::BF16 => "BF16",
            Dtype::I64 => "I64",
            Dtype::I32 => "I32",
            Dtype::I16 => "I16",
            Dtype::I8 => "I8",
            Dtype::U8 => "U8",
            Dtype::Bool => "BOOL",
            Dtype::Other => "OTHER",
        }
    }

    /// The name in a `config.json`.
    pub fn config_name(self) -> &'static str {
        match self {
            Dtype::F64 => "float64",
            Dtype::F16 => "float16",
            Dtype::BF16 => "bfloat16",
            _ => "float32",
        }
    }

    pub(crate) fn to_kind(self) -> tch::Kind {
        match self {
            Dtype::F32 => tch::Kind::Float,
            Dtype::F64 => tch::Kind::Double,
            Dtype::F16 => tch::Kind::Half,
            Dtype::BF16 => tch::Kind::BFloat16,
            Dtype::I64 => tch::Kind::Int64,
            Dtype::I32 => tch::Kind::Int,
            Dtype::I16 => tch::Kind::Int16,
            Dtype::I8 => tch::Kind::Int8,
            Dtype::U8 | Dtype::Other => tch::Kind::Uint8,
            Dtype::Bool => tch::Kind::Bool,
        }
    }

    pub(crate) fn from_kind(kind: tch::Kind) -> Self {
        match kind {
            tch::Kind::Float => Dtype::F32,
            tch::Kind::Double => Dtype::F64,
            tch::Kind::Half => Dtype::F16,
            tch::Kind::BFloat16 => Dtype::BF16,
            tch::Kind::Int64 => Dtype::I64,
            tch::Kind::Int => Dtype::I32,
            tch::Kind::Int16 => Dtype::I16,
            tch::Kind::Int8 => Dtype::I8,
            tch::Kind::Uint8 => Dtype::U8,
            tch::Kind::Bool => Dtype::Bool,
            _ => Dtype::Other,
        }
    }
}

/// The names that a run config may give.
impl FromStr for Dtype {
    type Err = TensorError;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "float32" | "fp32" | "f32" => Ok(Dtype::F32),
            "bfloat16" | "bf16" => Ok(Dtype::BF16),
            "float16" | "fp16" | "f16" => Ok(Dtype::F16),
            _ => Err(TensorError::DtypeName { found: name.to_owned() }),
        }
    }
}
