//! Layer removal: the least important layers that are no adapters are dropped, whatever estimator ranks them (ShortGPT, section 3.3).

use scaleot_plugin_api::{
    Checkpoint, Declaration, Host, LayerOutline, LayerReplacer, Module, PluginError, Strategy, Substitute, Trait,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `shortgpt/layer-removal`: there is nothing to set.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LayerRemovalOptions {}

/// Drops the least important layers.
pub struct LayerRemoval;

impl Strategy for LayerRemoval {
    type Options = LayerRemovalOptions;
    fn new(_: LayerRemovalOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn declares() -> Vec<Declaration> {
        vec![Declaration::always(Trait::TrainsNothing)]
    }
}

// The choice is the trait's own: least important first, the shallower of two.
impl LayerReplacer for LayerRemoval {
    fn substitute(&mut self, _: &LayerOutline, _: &mut Host) -> Result<Substitute, PluginError> {
        Ok(Substitute::frozen(Module::Identity))
    }
}

impl Checkpoint for LayerRemoval {}

#[cfg(test)]
mod tests {
    use super::*;
    use scaleot_plugin_api::{ImportanceScores, LayerRole, ReplaceRequest};

    #[test]
    fn the_least_important_go() {
        let scores = ImportanceScores::new(vec![0.0, 0.3, 0.1, 0.2, 0.1, 0.0]);
        let ask = ReplaceRequest::new(6, vec![0, 5], 3);
        let plan = LayerRemoval.select(&scores, &ask).unwrap();
        assert_eq!(plan.layers_with(LayerRole::Replace), [2, 3, 4]);
    }
}
