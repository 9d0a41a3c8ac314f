//! Boundary tests.
