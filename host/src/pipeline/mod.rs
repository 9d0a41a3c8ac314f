//! The stages, in order. This file alone knows the order.

pub mod error;
pub mod progress;
pub mod tensor_file;

pub mod load;
pub mod importance;
pub mod replace;
pub mod compress;
pub mod bundle;
pub mod tune;
pub mod plug_in;
pub mod evaluate;
