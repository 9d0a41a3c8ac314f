//! The layer plan: per layer of the full model, what becomes of it in the emulator.

use crate::error::PluginError;
use crate::importance_scores::ImportanceScores;
use serde::{Deserialize, Serialize};

/// The fate of one layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerRole {
    /// Original weights, trained by the data owner.
    Adapter,
    /// Original weights, frozen; the compressor works on these.
    Keep,
    /// Its substitute runs instead.
    Replace,
}

/// One entry per layer of the full model, in order of depth. Stays with the model owner.
///
/// ```
/// use scaleot_plugin_api::{LayerPlan, LayerRole::*};
/// let plan = LayerPlan::new(vec![Adapter, Keep, Replace, Adapter]);
/// assert_eq!(plan.layers_with(Replace), [2]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerPlan {
    /// Entry `i` is layer `i` of the full model.
    pub layers: Vec<LayerRole>,
}

impl LayerPlan {
    /// A plan of these entries.
    #[must_use]
    pub fn new(layers: Vec<LayerRole>) -> Self {
        Self { layers }
    }

    /// Adapters where asked, `replaced` replaced, the rest kept.
    ///
    /// # Errors
    /// `Failed` when an index is past the end, named twice, or is an adapter layer.
    pub fn from_replaced(ask: &ReplaceRequest, replaced: &[usize]) -> Result<Self, PluginError> {
        let mut layers = vec![LayerRole::Keep; ask.n_layers];
        let mut put = |index: usize, role| match layers.get_mut(index) {
            Some(slot) if *slot == LayerRole::Keep => {
                *slot = role;
                Ok(())
            }
            Some(slot) => Err(PluginError::failed(format!("layer {index} is planned as {slot:?} and as {role:?}"))),
            None => Err(PluginError::failed(format!(
                "the plan names layer {index}, the model has layers 0 to {}",
                ask.n_layers.saturating_sub(1)
            ))),
        };
        ask.adapter_layers.iter().try_for_each(|&index| put(index, LayerRole::Adapter))?;
        replaced.iter().try_for_each(|&index| put(index, LayerRole::Replace))?;
        Ok(Self { layers })
    }

    /// The least important layers that are no adapters give way; of equal scores the shallower.
    ///
    /// # Errors
    /// `Failed` when more layers are asked for than there are, or when there is not one score per layer.
    pub fn least_important(scores: &ImportanceScores, ask: &ReplaceRequest) -> Result<Self, PluginError> {
        let middle = ask.middle();
        if ask.replace_count > middle.len() {
            return Err(PluginError::failed(format!(
                "{} layers are to be replaced, but only {} are no adapters",
                ask.replace_count,
                middle.len()
            )));
        }
        if scores.scores.len() != ask.n_layers {
            let (found, expected) = (scores.scores.len(), ask.n_layers);
            return Err(PluginError::failed(format!("{found} importance scores were given for {expected} layers")));
        }
        let order = scores.ascending().into_iter().filter(|index| middle.contains(index));
        let replaced: Vec<usize> = order.take(ask.replace_count).collect();
        Self::from_replaced(ask, &replaced)
    }

    /// Evenly spaced layers stay, the first and the last that are no adapters always; the others give way, whatever the
    /// scores say (the rule of Offsite-Tuning, [`evenly_spaced`]).
    ///
    /// # Errors
    /// `Failed` when more layers are asked for than there are.
    pub fn evenly_spaced(ask: &ReplaceRequest) -> Result<Self, PluginError> {
        let middle = ask.middle();
        let Some(keep) = middle.len().checked_sub(ask.replace_count) else {
            return Err(PluginError::failed(format!(
                "{} layers are to be dropped, but only {} are no adapters",
                ask.replace_count,
                middle.len()
            )));
        };
        let kept = evenly_spaced(middle.len(), keep);
        let dropped = middle.iter().enumerate().filter(|(position, _)| !kept.contains(position));
        Self::from_replaced(ask, &dropped.map(|(_, &layer)| layer).collect::<Vec<_>>())
    }

    /// `layer` itself where it stays in the emulator, else the nearest layer that does, the deeper of two (CRaSh); `None` where
    /// every layer is replaced. What [`Module::SharedWith`](crate::Module::SharedWith) runs under this plan.
    ///
    /// ```
    /// use scaleot_plugin_api::{LayerPlan, LayerRole::*};
    /// let plan = LayerPlan::new(vec![Adapter, Replace, Keep, Replace, Replace]);
    /// assert_eq!([1, 2, 4].map(|layer| plan.nearest_staying(layer)), [Some(2), Some(2), Some(2)]);
    /// ```
    #[must_use]
    pub fn nearest_staying(&self, layer: usize) -> Option<usize> {
        nearest(layer, self.layers.iter().map(|role| *role != LayerRole::Replace))
    }

    /// Indices of the layers with this role, ascending.
    #[must_use]
    pub fn layers_with(&self, role: LayerRole) -> Vec<usize> {
        (0..self.layers.len()).filter(|&index| self.layers.get(index) == Some(&role)).collect()
    }
}

/// `keep` evenly spaced positions out of `available`: `round(i (available - 1) / (keep - 1))` with ties to even, as Python
/// rounds (Offsite-Tuning's code, `uniform_choose_layers`). One position is the first; none is none.
///
/// ```
/// assert_eq!(scaleot_plugin_api::evenly_spaced(20, 8), [0, 3, 5, 8, 11, 14, 16, 19]); // OPT-1.3B without its four outer layers
/// ```
#[must_use]
pub fn evenly_spaced(available: usize, keep: usize) -> Vec<usize> {
    if keep <= 1 {
        return (0..keep.min(available)).collect();
    }
    // Positions are far below 2^52, so the conversions are exact.
    let stride = (available.saturating_sub(1)) as f64 / (keep - 1) as f64;
    (0..keep).map(|i| (i as f64 * stride).round_ties_even() as usize).collect()
}

/// The index nearest to `to` among those that are `true`, the larger of two.
fn nearest(to: usize, stays: impl Iterator<Item = bool>) -> Option<usize> {
    let staying = stays.enumerate().filter(|(_, stays)| *stays).map(|(index, _)| index);
    staying.min_by_key(|&index| (index.abs_diff(to), std::cmp::Reverse(index)))
}

/// The layers that a replacer may choose from, and the number that it must choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReplaceRequest {
    /// Layers of the full model.
    pub n_layers: usize,
    /// The adapter layers, ascending; never replaced.
    pub adapter_layers: Vec<usize>,
    /// `K`: how many of the others are replaced.
    pub replace_count: usize,
}

impl ReplaceRequest {
    /// A request for so many of the layers that are no adapters.
    #[must_use]
    pub fn new(n_layers: usize, adapter_layers: Vec<usize>, replace_count: usize) -> Self {
        Self { n_layers, adapter_layers, replace_count }
    }
}

impl ReplaceRequest {
    /// The layers that may be replaced, ascending.
    #[must_use]
    pub fn middle(&self) -> Vec<usize> {
        (0..self.n_layers).filter(|index| !self.adapter_layers.contains(index)).collect()
    }
}

/// A layer mixture: per layer, whether the original runs (`true`) or its substitute (`false`).
///
/// ```
/// let mask = scaleot_plugin_api::LayerMask::all_original(4).with_replaced(&[1, 2]);
/// assert_eq!(mask.original, [true, false, false, true]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LayerMask {
    /// Entry `i` is layer `i` of the full model.
    pub original: Vec<bool>,
}

impl LayerMask {
    /// A mixture, one entry per layer: `true` where the original runs.
    #[must_use]
    pub fn new(original: Vec<bool>) -> Self {
        Self { original }
    }
}

impl LayerMask {
    /// The full model.
    #[must_use]
    pub fn all_original(n_layers: usize) -> Self {
        Self { original: vec![true; n_layers] }
    }

    /// The same mixture with these layers replaced; an index past the end is ignored.
    #[must_use]
    pub fn with_replaced(mut self, layers: &[usize]) -> Self {
        for &index in layers {
            if let Some(original) = self.original.get_mut(index) {
                *original = false;
            }
        }
        self
    }

    /// As [`LayerPlan::nearest_staying`], in this mixture: the nearest layer whose original runs.
    #[must_use]
    pub fn nearest_original(&self, layer: usize) -> Option<usize> {
        nearest(layer, self.original.iter().copied())
    }
}
