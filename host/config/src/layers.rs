//! A model's layers shared out: the one check of the config that needs the model.
//!
//! Rule: of `n` layers, `adapter.layers` (N_a) train; the rest is the middle. Of the middle, `replace.count`, or
//! `round(replace.ratio · middle)`, are replaced, and at least one stays.

use super::error::ConfigError;
use super::place::KeyPath;
use super::sections::RunConfig;

/// The layers of one run, by what becomes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerBudget {
    /// Layers of the model.
    pub layers: u32,
    /// Layers that train.
    pub adapter: u32,
    /// Middle layers that are replaced.
    pub replaced: u32,
    /// Middle layers that stay, compressed or not.
    pub kept: u32,
}

impl RunConfig {
    /// Shares out the layers of a model that has `layers` of them.
    ///
    /// # Errors
    /// The key that asks for more layers than there are, with both numbers.
    pub fn validate_against(&self, layers: u32) -> Result<LayerBudget, ConfigError> {
        let adapter = self.adapter.layers;
        let middle = match layers.checked_sub(adapter) {
            Some(middle) if middle > 0 => middle,
            _ => {
                let expected = format!("fewer than the model's {layers} layers");
                return Err(self.refused("adapter.layers", adapter.to_string(), expected));
            }
        };
        let replaced = self.replaced(middle)?;
        Ok(LayerBudget { layers, adapter, replaced, kept: middle - replaced })
    }

    /// Refuses a written `adapter.layers` that differs from the number of layers that a bundle trains.
    ///
    /// # Errors
    /// The key, with both numbers.
    pub fn check_bundle_layers(&self, trained: usize) -> Result<(), ConfigError> {
        let layers = self.adapter.layers;
        if !self.places.is_set(&KeyPath::of("adapter").key("layers")) || layers as usize == trained {
            return Ok(());
        }
        let expected = format!(
            "the owner's number, because the bundle trains {trained} layers; \
             left out with --bundle, the bundle alone says what trains"
        );
        Err(self.refused("adapter.layers", layers.to_string(), expected))
    }

    fn replaced(&self, middle: u32) -> Result<u32, ConfigError> {
        if let Some(count) = self.replace.count {
            if count < middle {
                return Ok(count);
            }
            let expected = format!("fewer than the model's {middle} middle layers, so that one stays");
            return Err(self.refused("replace.count", count.to_string(), expected));
        }
        let ratio = self.replace.ratio.map_or(0.0, super::numbers::Ratio::get);
        // Within 0 to middle, since the ratio lies within 0 to 1.
        let count = (ratio * f64::from(middle)).round() as u32;
        let problem = match count {
            0 if ratio > 0.0 => "at least one",
            count if count >= middle => "fewer, so that one stays",
            count => return Ok(count),
        };
        let found = format!("{ratio}, which is {count} of the model's {middle} middle layers");
        Err(self.refused("replace.ratio", found, problem.to_owned()))
    }

    fn refused(&self, key: &str, found: String, expected: String) -> ConfigError {
        let key = KeyPath::of(key);
        ConfigError::Value { place: self.places.of(&key), key, found, expected }
    }
}
