//! A whole model, as its owner has it: the decoder, and a fingerprint of what it was made from.
//!
//! Fingerprint: SHA-256 over the numbers of the config that change the computation, then over every
//! tensor in order of name: name, dtype, shape, bytes. File layout and sharding do not enter.

use super::assemble;
use super::config::ModelConfig;
use super::decoder::Decoder;
use super::error::Result;
use super::inspect;
use super::names::Names;
use super::weights::Weights;
use crate::tensor::{Device, Dtype};
use sha2::{Digest, Sha256};
use std::path::Path;

/// A model loaded from a Hugging Face folder.
pub struct Model {
    pub decoder: Decoder,
    weights: Weights,
}

impl Model {
    /// Reads `config.json`, maps the weights, and refuses what does not fit together.
    pub fn load(folder: &Path, device: Device, dtype: Dtype) -> Result<Model> {
        let config = ModelConfig::read(folder)?;
        let weights = Weights::open(folder)?;
        let names = Names::of(&weights, config.family);
        let decoder = assemble::decoder(config, &weights, dtype, device)?;
        inspect::check_values(&weights, &names)?;
        Ok(Model { decoder, weights })
    }

    /// The mapped files.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// What identifies the model: 64 hexadecimal digits. Reads every weight.
    pub fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(self.decoder.config.computation());
        for (name, entry, bytes) in self.weights.all() {
            digest.update(format!("{name:?} {} {:?} {}\n", entry.dtype_name, entry.shape, bytes.len()));
            digest.update(bytes);
        }
        digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
