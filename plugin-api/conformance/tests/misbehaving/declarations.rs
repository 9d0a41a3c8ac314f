//! Strategies that declare what is not so of them.

use crate::NoOptions;
use scaleot_plugin_api::{
    Adapter, AdapterModule, AdapterPart, Checkpoint, Declaration, Host, ImportanceEstimator, ImportanceScores,
    LayerOutline, LayerReplacer, Module, PluginError, Strategy, Substitute, Trait, export_plugin,
};

struct Ranks;
impl Strategy for Ranks {
    type Options = NoOptions;
    fn new(_: NoOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn declares() -> Vec<Declaration> {
        [Trait::EqualScores, Trait::TrainsSubstitutes].map(Declaration::always).to_vec()
    }
}
impl ImportanceEstimator for Ranks {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        Ok(ImportanceScores::new((0..host.outline()?.n_layers()).map(|layer| layer as f32).collect()))
    }
}

impl Checkpoint for Ranks {}

/// Sorts by scores, and its substitutes train.
struct Sorts;
impl Strategy for Sorts {
    type Options = NoOptions;
    fn new(_: NoOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn declares() -> Vec<Declaration> {
        [Trait::IgnoresScores, Trait::TrainsNothing].map(Declaration::always).to_vec()
    }
}
impl LayerReplacer for Sorts {
    fn substitute(&mut self, layer: &LayerOutline, host: &mut Host) -> Result<Substitute, PluginError> {
        let weight = host.zeros(&[layer.hidden_size, layer.hidden_size])?;
        Ok(Substitute::trainable(Module::Linear { weight, bias: None }))
    }
}

impl Checkpoint for Sorts {}

struct Elsewhere;
impl Strategy for Elsewhere {
    type Options = NoOptions;
    fn new(_: NoOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }
    fn declares() -> Vec<Declaration> {
        vec![Declaration::always(Trait::IgnoresScores)]
    }
}
impl Adapter for Elsewhere {
    fn attach(&mut self, _: &LayerOutline) -> Result<AdapterModule, PluginError> {
        Ok(AdapterModule::new(vec![AdapterPart::WholeLayer]))
    }
}

impl Checkpoint for Elsewhere {}

export_plugin! {
    name: "declares",
    about: "Declares what is not so.",
    built_in,
    strategies: {
        "ranks": importance Ranks, "Gives every layer a score of its own.";
        "sorts": replace Sorts, "Replaces the least important.";
        "elsewhere": adapter Elsewhere, "Speaks of scores that it never sees.";
    }
}

#[test]
fn are_found() {
    crate::assert_found(
        scaleot_root_module(),
        &[
            ("ranks", "gives equal scores if it declares so", "found [0.0, 1.0"),
            ("ranks", "trains substitutes if it declares so", "it asked for no training step"),
            ("sorts", "ignores scores if it declares so", "scores that rise gave [Adapter, Replace,"),
            ("sorts", "has nothing to train if it declares so", "the substitute of layer 0 trains"),
            (
                "declares",
                "declares what there is, of its kind, by options that it has",
                "elsewhere declares \"ignores_scores\", which 2.0.0 does not have for [adapter]",
            ),
        ],
    );
}
