//! Nothing here: this crate exists for its benchmarks.
