//! The parts of each adapter, on a layer whose shapes are known.

// Helpers of tests are tests too.
#![allow(clippy::unwrap_used)]

use peft::{
    BitFit, Bottleneck, BottleneckOptions, Lora, LoraOptions, Modules, NoOptions, SoftPrompt, SoftPromptOptions,
};
use scaleot_plugin_api::{Adapter, AdapterPart, ErrorCode, LayerOutline, ModelOutline, Strategy, WeightRole};

fn layer() -> LayerOutline {
    ModelOutline::toy(1, 8).layers.remove(0)
}

fn lora(options: LoraOptions) -> Vec<(WeightRole, usize, f64)> {
    let parts = Lora::new(options).unwrap().attach(&layer()).unwrap().parts;
    let part = |part: AdapterPart| match part {
        AdapterPart::LowRankDelta { role, rank, alpha } => (role, rank, alpha),
        other => panic!("{other:?}"),
    };
    parts.into_iter().map(part).collect()
}

#[test]
fn a_delta_beside_each_projection() {
    let all = lora(LoraOptions::default());
    assert_eq!(all.len(), 7);
    assert!(all.iter().all(|(role, rank, alpha)| role.is_matrix() && (*rank, *alpha) == (4, 32.0)));
    let roles = |modules| lora(LoraOptions { modules, ..LoraOptions::default() }).into_iter().map(|part| part.0);
    assert!(roles(Modules::QueryValue).eq([WeightRole::AttentionQ, WeightRole::AttentionV]));
    assert!(roles(Modules::Attention).eq(WeightRole::ATTENTION));
}

#[test]
fn a_rank_beyond_the_shorter_side_keeps_its_scale() {
    let wide = lora(LoraOptions { rank: 32, alpha: 64.0, modules: Modules::QueryValue });
    assert!(wide.iter().all(|(_, rank, alpha)| (*rank, *alpha) == (8, 16.0)), "scale 2 as asked: {wide:?}");
}

#[test]
fn a_bottleneck_behind_both_parts() {
    let parts = Bottleneck::new(BottleneckOptions::default()).unwrap().attach(&layer()).unwrap().parts;
    let at = |part: &AdapterPart| match part {
        AdapterPart::Bottleneck { role, size: 64, .. } => *role,
        other => panic!("{other:?}"),
    };
    assert_eq!(parts.iter().map(at).collect::<Vec<_>>(), [WeightRole::AttentionO, WeightRole::MlpDown]);
}

#[test]
fn biases_train_where_there_are_any() {
    let mut layer = layer();
    let refused = BitFit::new(NoOptions {}).unwrap().attach(&layer).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unsupported);
    layer.weights[3].bias = true;
    assert_eq!(BitFit::new(NoOptions {}).unwrap().attach(&layer).unwrap().parts, [AdapterPart::BiasOnly]);
}

#[test]
fn a_prompt_where_there_is_attention() {
    let mut layer = layer();
    let mut prompt = SoftPrompt::new(SoftPromptOptions::default()).unwrap();
    assert_eq!(prompt.attach(&layer).unwrap().parts, [AdapterPart::SoftPrompt { length: 10 }]);
    layer.weights.retain(|weight| weight.role != WeightRole::AttentionV);
    assert_eq!(prompt.attach(&layer).unwrap_err().code, ErrorCode::Unsupported);
}
