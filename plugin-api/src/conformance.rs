//! The fake host and the conformance checks.
