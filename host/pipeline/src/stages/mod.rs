//! The stages, each a method of the party that runs it. None imports another: what passes between them is an artefact on disk.

pub mod bundle;
pub mod compress;
pub mod evaluate;
pub mod full_tuning;
pub mod importance;
pub mod plug_in;
pub mod replace;
pub mod train;
pub mod tune;
