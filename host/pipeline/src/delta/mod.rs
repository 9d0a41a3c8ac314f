//! The delta of a return: what it must satisfy, and how it goes into a decoder.
//!
//! The return is verified before the model is touched (manifest, bundle identity, exact set of tensors, shapes, finite values,
//! norms), then `W := W + delta` at the layers that the ledger names.

mod plug_in;
mod scale;
mod verify;

pub use plug_in::plug_in;
pub use verify::{ReturnCheck, VerifiedReturn, verify};
