//! A whole model, as its owner has it: the decoder, and the mapped files that it stands on.

use super::assemble;
use super::check_values::check_values;
use super::config::ModelConfig;
use super::decoder::Decoder;
use super::error::Result;
use super::names::Names;
use super::weights::Weights;
use scaleot_tensor::{Device, Dtype};
use std::path::Path;

/// A model loaded from a Hugging Face folder.
pub struct Model {
    pub decoder: Decoder,
    weights: Weights,
}

impl Model {
    /// Reads `config.json`, maps the weights, and refuses what does not fit together.
    ///
    /// # Errors
    /// The first thing about the folder that does not fit.
    pub fn load(folder: &Path, device: Device, dtype: Dtype) -> Result<Model> {
        let config = ModelConfig::read(folder)?;
        let weights = Weights::open(folder, config.weights_name.as_deref())?;
        let names = Names::in_files(&weights, config.family);
        let decoder = assemble::decoder(config, &weights, dtype, device)?;
        check_values(&weights, &names)?;
        Ok(Model { decoder, weights })
    }

    /// The mapped files.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }
}
