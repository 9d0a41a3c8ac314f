//! The state that decides the future of an estimate: the steps done, and the scores. JSON, versioned.
//!
//! Draws are a function of seed and step, so no generator's state is kept; substitutes and batches are the host's.

use scaleot_plugin_api::PluginError;
use serde::{Deserialize, Serialize};

const FORMAT: &str = "scaleot/dynamic-layer-replace";
const VERSION: u32 = 1;

/// The state of an estimate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    format: String,
    version: u32,
    /// Of the run; draws follow from it.
    pub(super) seed: u64,
    /// Steps done.
    pub(super) step: u64,
    /// One per layer.
    pub(super) scores: Vec<f64>,
}

impl State {
    /// Nothing done: all scores are 0, every layer is as likely kept as replaced.
    pub(super) fn start(seed: u64, n_layers: usize) -> Self {
        Self { format: FORMAT.into(), version: VERSION, seed, step: 0, scores: vec![0.0; n_layers] }
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, PluginError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// # Errors
    /// `Failed` for bytes of another strategy, another version, or with a score that is no number.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, PluginError> {
        let state: Self = serde_json::from_slice(bytes)
            .map_err(|error| PluginError::failed(format!("this is no state of {FORMAT}: {error}")))?;
        if state.format != FORMAT || state.version != VERSION {
            let Self { format, version, .. } = state;
            let found = format!("a state of {format:?}, version {version}, was to be restored");
            return Err(PluginError::failed(format!("{found}, expected {FORMAT:?}, version {VERSION}")));
        }
        Ok(state)
    }

    /// # Errors
    /// `Failed` when the state is of a run with another seed or another model.
    pub(super) fn belongs_to(&self, seed: u64, n_layers: usize) -> Result<(), PluginError> {
        if (self.seed, self.scores.len()) == (seed, n_layers) {
            return Ok(());
        }
        let of = |seed: u64, layers: usize| format!("seed {seed} with {layers} layers");
        let (found, expected) = (of(self.seed, self.scores.len()), of(seed, n_layers));
        Err(PluginError::failed(format!("the restored state is of {found}, this run has {expected}"))
            .with_help("start the stage anew, or restore the run's seed and model"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_bit_for_bit() {
        let scores = vec![0.1 + 0.2, -1.0 / 3.0, 5e-324, 6.0];
        let state = State { step: 17, scores, ..State::start(u64::MAX, 4) };
        assert_eq!(State::from_bytes(&state.to_bytes().unwrap()).unwrap(), state);
    }

    #[test]
    fn foreign_bytes_are_refused() {
        let refusal = |bytes: &[u8]| State::from_bytes(bytes).unwrap_err().message;
        let text = String::from_utf8(State::start(7, 2).to_bytes().unwrap()).unwrap();
        assert!(State::from_bytes(text.as_bytes()).is_ok());
        let newer = refusal(text.replace("\"version\":1", "\"version\":2").as_bytes());
        assert_eq!(
            newer,
            "a state of \"scaleot/dynamic-layer-replace\", version 2, was to be restored, expected \"scaleot/dynamic-layer-replace\", version 1"
        );
        assert!(refusal(text.replace("dynamic", "other").as_bytes()).contains("scaleot/other-layer-replace"));
        assert!(refusal(text.replace("0.0,", "null,").as_bytes()).contains("this is no state of"));
        assert!(refusal(text.replace("\"step\"", "\"steps\"").as_bytes()).contains("unknown field `steps`"));
        assert!(refusal(&text.as_bytes()[..20]).contains("EOF"));
    }
}
