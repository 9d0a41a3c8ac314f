//! Element types as libtorch names them.

use super::Dtype;

/// libtorch's name of a type.
pub(crate) fn to_kind(dtype: Dtype) -> tch::Kind {
    match dtype {
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

/// The type that libtorch names so.
pub(crate) fn from_kind(kind: tch::Kind) -> Dtype {
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
