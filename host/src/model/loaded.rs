//! A whole model, as its owner has it: the decoder, and a fingerprint of the files it came from.

use super::assemble;
use super::config::ModelConfig;
use super::decoder::Decoder;
use super::error::Result;
use super::weights::Weights;
use crate::tensor::{Device, Dtype};
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
        let decoder = assemble::decoder(config, &weights, dtype, device)?;
        Ok(Model { decoder, weights })
    }

    /// The mapped files.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}
