//! The positions part of a `config.json`: learned, or rotary with its rescaling.
//!
//! Transformers 5 writes `rope_parameters {rope_theta, rope_type, partial_rotary_factor, …}`, 4 wrote
//! `rope_theta` (NeoX: `rotary_emb_base`, `rotary_pct`) beside `rope_scaling`.

use super::config::Positions;
use super::config_read::Source;
use super::error::Result;
use super::family::PositionKind;
use super::rope::{Rope, RopeScaling};
use serde_json::{Map, Value};

impl Source<'_> {
    pub(super) fn positions(&self, head_dim: usize) -> Result<Positions> {
        if self.family.positions == PositionKind::Learned {
            return Ok(Positions::Learned { offset: self.family.position_offset });
        }
        let (section, parameters) = self.rope_section()?;
        let theta = match parameters.and_then(|p| p.get("rope_theta")).filter(|v| !v.is_null()) {
            Some(value) => self.positive(&format!("{section}.rope_theta"), value)?,
            None => match self.lookup("rope_theta") {
                Some((key, value)) => self.positive(key, value)?,
                None => self.family.defaults.rope_theta.unwrap_or(10_000.0),
            },
        };
        let dims = self.rotated_dims(section, parameters, head_dim)?;
        let scaling = match parameters {
            Some(parameters) => self.rope_scaling(section, parameters)?,
            None => RopeScaling::None,
        };
        Ok(Positions::Rope(Rope { theta, dims, scaling }))
    }

    fn rope_section(&self) -> Result<(&'static str, Option<&Map<String, Value>>)> {
        for section in ["rope_parameters", "rope_scaling"] {
            match self.raw.get(section) {
                None | Some(Value::Null) => {}
                Some(Value::Object(parameters)) => return Ok((section, Some(parameters))),
                Some(value) => return Err(self.wrong(section, Some(value), "an object or null")),
            }
        }
        Ok(("rope_parameters", None))
    }

    fn rotated_dims(&self, section: &str, parameters: Option<&Map<String, Value>>, head_dim: usize) -> Result<usize> {
        let (key, value) = match parameters.and_then(|p| p.get("partial_rotary_factor")) {
            Some(value) => (format!("{section}.partial_rotary_factor"), Some(value)),
            None => match self.lookup("rotary_share") {
                Some((key, value)) => (key.to_owned(), Some(value)),
                None => (String::new(), None),
            },
        };
        let share = match value {
            Some(value) => self.positive(&key, value)?,
            None => self.family.defaults.rotary_share.unwrap_or(1.0),
        };
        // As Transformers does: the product is cut off to a whole number.
        let dims = (head_dim as f64 * share) as usize;
        if dims == 0 || dims > head_dim || !dims.is_multiple_of(2) {
            let expected = format!("an even number of rotated dimensions of the {head_dim} of a head");
            let key = if key.is_empty() { "head_dim" } else { &key };
            return Err(self.wrong(key, value, expected));
        }
        Ok(dims)
    }

    fn rope_scaling(&self, section: &str, parameters: &Map<String, Value>) -> Result<RopeScaling> {
        let kind = ["rope_type", "type"].iter().find_map(|key| parameters.get(*key));
        let number = |name: &str| {
            let key = format!("{section}.{name}");
            match parameters.get(name) {
                Some(value) => self.positive(&key, value),
                None => Err(self.wrong(&key, None, "a finite number above 0")),
            }
        };
        match kind.and_then(Value::as_str) {
            None if kind.is_none() => Ok(RopeScaling::None),
            Some("default") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear { factor: number("factor")? }),
            Some("llama3") => {
                let (low, high) = (number("low_freq_factor")?, number("high_freq_factor")?);
                if low >= high {
                    let key = format!("{section}.low_freq_factor");
                    return Err(self.wrong(
                        &key,
                        parameters.get("low_freq_factor"),
                        format!("less than high_freq_factor, {high}"),
                    ));
                }
                let (factor, original_context) = (number("factor")?, number("original_max_position_embeddings")?);
                Ok(RopeScaling::Llama3 { factor, low, high, original_context })
            }
            _ => {
                let expected = "default, linear or llama3; other scalings are not supported";
                Err(self.wrong(&format!("{section}.rope_type"), kind, expected))
            }
        }
    }
}
