//! The stages, in order.
