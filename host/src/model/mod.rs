//! model

pub mod batch;
