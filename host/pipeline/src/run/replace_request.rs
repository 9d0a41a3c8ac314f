//! The question that a replacer answers: where the adapters stand, and how many layers give way.

use super::owner::{OwnerModel, OwnerRun};
use super::placement::adapter_layers;
use crate::error::StageError;
use scaleot_config::Placement;
use scaleot_plugin_api::{ImportanceScores, LayerRole, ReplaceRequest, StrategyKind};
use scaleot_plugins::ReplacerHandle;

impl OwnerRun<'_> {
    /// The places of the adapters, and the count of the layers that give way.
    pub(crate) fn replace_request(
        &mut self,
        owner: &OwnerModel,
        scores: &ImportanceScores,
    ) -> Result<ReplaceRequest, StageError> {
        let n_layers = owner.outline.n_layers();
        let budget = self.core.config.validate_against(n_layers as u32)?;
        let (count, replace_count) = (budget.adapter as usize, budget.replaced as usize);
        let placement = self.core.config.adapter.placement;
        if placement == Placement::TopScore && scores.are_equal() {
            let score = scores.scores.first().copied().unwrap_or_default();
            return Err(self.core.config.no_top_score(score).into());
        }
        let among: Vec<usize> = if placement == Placement::SpreadKept {
            let mut replacer = ReplacerHandle::try_from(self.core.required_strategy(StrategyKind::Replace)?)?;
            let ask = ReplaceRequest::new(n_layers, Vec::new(), replace_count);
            replacer.select(scores, &ask)?.layers_with(LayerRole::Keep)
        } else {
            (0..n_layers).collect()
        };
        let places = adapter_layers(placement, count, among.len(), scores).into_iter();
        let adapter_layers = places.filter_map(|place| among.get(place).copied()).collect();
        Ok(ReplaceRequest::new(n_layers, adapter_layers, replace_count))
    }
}
