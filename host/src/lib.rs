//! The ScaleOT runtime.

pub mod config;
pub mod data;
pub mod fault;
pub mod isolation;
pub mod model;
pub mod pipeline;
pub mod plugins;
pub mod store;
pub mod suite;
pub mod tensor;
