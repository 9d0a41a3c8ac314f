//! The stages, in order.

pub mod evaluate;
