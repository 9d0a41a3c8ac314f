//! The needs of a run, from the numbers of `config.json`: parameters, bundle, and each stage's memory as a sum of named terms.
//!
//! Bytes: weights `P·b` (b by dtype); training `4·T` for each of parameter, gradient, two moments and the best state, which are fp32
//! whatever the model is, as adapted layers are where they are evaluated;
//! activations `4·n·(k·a + 2h)` with `a = 16h + 2q + 4kv + 6m` for `n` tokens through `k` layers (what a layer saves of a
//! token, and half as much again for what the allocator does not give back); logits `3·4·n·V`; a pass without gradients
//! `4·n·(2a + V/2)`. `h` hidden, `q`/`kv` widths of queries and keys, `m` feed-forward, `V` vocabulary.
//! The owner's training counts activations of all tokens beside a pass of the full model; what trains there only plugins know.
//! Held against measured peaks of SmolLM2-135M and the tests' model: within a fifth.

use scaleot_config::{Column, LayerBudget, Precision, RunConfig, TrainingSection};
use scaleot_model::{ModelConfig, Positions, WeightRole};
use scaleot_pipeline::stage::Stage;
use scaleot_tensor::Dtype;
use serde::Serialize;

/// The program with libtorch in it, before any model: measured on x86-64, CPU libtorch 2.11.
const PROGRAM: u64 = 140 << 20;

/// Parameters of a model by what becomes of them.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Parameters {
    pub total: u64,
    /// Embedding, positions, final norm, head: in every emulator.
    pub shared: u64,
    pub per_layer: u64,
    /// In the layers that train.
    pub trained: u64,
    /// In the middle layers that stay.
    pub kept: u64,
    /// In the middle layers that are replaced.
    pub replaced: u64,
}

/// A stage's peak memory.
#[derive(Debug, Serialize)]
pub struct StageMemory {
    #[serde(serialize_with = "as_verb")]
    pub stage: Stage,
    pub bytes: u64,
    /// The parts of the sum.
    pub terms: Vec<(&'static str, u64)>,
}

fn as_verb<S: serde::Serializer>(stage: &Stage, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(stage.verb())
}

/// Counts parameters.
pub fn parameters(model: &ModelConfig, budget: &LayerBudget) -> Parameters {
    let per_layer = layer_parameters(model);
    let (hidden, vocabulary) = (model.hidden as u64, model.vocabulary as u64);
    let tables = if model.tied { 1 } else { 2 };
    let positions = match model.positions {
        Positions::Learned { offset } => (model.context + offset) as u64 * hidden,
        Positions::Rope(_) => 0,
    };
    let norm = if model.has_bias(WeightRole::NormMlp) { 2 * hidden } else { hidden };
    let shared = tables * vocabulary * hidden + positions + norm;
    let of = |layers: u32| u64::from(layers) * per_layer;
    Parameters {
        total: shared + of(budget.layers),
        shared,
        per_layer,
        trained: of(budget.adapter),
        kept: of(budget.kept),
        replaced: of(budget.replaced),
    }
}

fn layer_parameters(model: &ModelConfig) -> u64 {
    let has = |role: &WeightRole| *role != WeightRole::MlpGate || model.family.is_gated();
    let count = |role: WeightRole| {
        let shape = model.shape(role);
        let weight: i64 = shape.iter().product();
        let bias = if model.has_bias(role) { shape.first().copied().unwrap_or(0) } else { 0 };
        (weight + bias).unsigned_abs()
    };
    WeightRole::ALL.into_iter().filter(has).map(count).sum()
}

/// Bytes of one element.
pub fn element_bytes(dtype: Precision) -> u64 {
    Dtype::from(dtype).bytes() as u64
}

/// The peak memory of each stage, in order.
pub fn memory(
    config: &RunConfig,
    model: &ModelConfig,
    parameters: &Parameters,
    budget: &LayerBudget,
) -> Vec<StageMemory> {
    let element = element_bytes(config.model.dtype);
    let weights = ("model weights", parameters.total.saturating_mul(element));
    let emulator = ("emulator weights", (parameters.total - parameters.replaced).saturating_mul(element));
    let largest = largest_matrix(model) * 4;
    let (tuned, all) = (&config.tune, &config.full_tuning);
    // At worst the first layer trains, and every layer of the emulator keeps its activations.
    let depth = u64::from(budget.adapter + budget.kept);
    let passes = |tokens: u64| ("one pass", one_pass(model, tokens));
    let terms = |stage: Stage| match stage {
        Stage::Importance => Some(vec![weights, passes(config.public_data.block_length.into())]),
        // What trains is the replacer's matter; its own values, gradients and moments come on top.
        Stage::Train => config.train.as_ref().map(|section| {
            let tokens = u64::from(section.batch_size.get())
                * u64::from(config.public_data.block_length).min(model.context as u64);
            vec![weights, passes(tokens), ("activations", activations(model, tokens, depth))]
        }),
        // U, S, V and the work space of the factorisation beside the matrix and its product.
        Stage::Compress => {
            let compressed = ("compressed layers", parameters.kept.saturating_mul(element));
            Some(vec![weights, compressed, ("one factorisation", 6 * largest)])
        }
        Stage::Bundle => Some(vec![weights]),
        Stage::Tune => {
            let leaves = Leaves { values: parameters.trained, depth };
            Some(training(emulator, leaves, model, tuned_tokens(config, tuned, model), tuned))
        }
        Stage::PlugIn => {
            let adapted = ("adapted layers", parameters.trained.saturating_mul(4));
            Some(vec![weights, emulator, adapted])
        }
        Stage::FullTuning => {
            let layers = u64::from(budget.layers);
            let leaves = Leaves { values: parameters.per_layer * layers, depth: layers };
            Some(training(weights, leaves, model, tuned_tokens(config, all, model), all))
        }
        // The choice among scores weighs nothing; columns are taken together below.
        Stage::Replace | Stage::Evaluate(_) => None,
    };
    let weighed = |stage: Stage| Some(stage_memory(stage, terms(stage)?));
    let stages = Stage::ALL.into_iter().filter(|stage| stage.is_part_of(config));
    let (upper_bound, others): (Vec<Stage>, Vec<Stage>) = stages.partition(|stage| *stage == Stage::FullTuning);
    // The columns stand for one: they run one after the other.
    let columns = stage_memory(Stage::Evaluate(Column::ZeroShot), evaluation(config, model, parameters, weights));
    let others = others.into_iter().filter_map(weighed).chain([columns]);
    others.chain(upper_bound.into_iter().filter_map(weighed)).collect()
}

/// The columns run one after the other; the one with the most layers in fp32 decides.
fn evaluation(
    config: &RunConfig,
    model: &ModelConfig,
    parameters: &Parameters,
    weights: (&'static str, u64),
) -> Vec<(&'static str, u64)> {
    let has = |column| config.evaluate.columns.contains(&column);
    let adapted = if has(Column::FullTuning) {
        parameters.trained + parameters.kept + parameters.replaced
    } else if has(Column::PlugIn) || has(Column::EmulatorTuned) {
        parameters.trained
    } else {
        0
    };
    let pass = ("one pass", one_pass(model, config.evaluate.batch_tokens.get().into()));
    vec![weights, ("adapted layers", adapted.saturating_mul(4)), pass]
}

fn stage_memory(stage: Stage, mut terms: Vec<(&'static str, u64)>) -> StageMemory {
    terms.insert(0, ("program", PROGRAM));
    let bytes = terms.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    StageMemory { stage, bytes, terms }
}

/// The values that train, and the layers that keep activations for them.
#[derive(Clone, Copy)]
struct Leaves {
    values: u64,
    depth: u64,
}

fn training(
    weights: (&'static str, u64),
    leaves: Leaves,
    model: &ModelConfig,
    tokens: u64,
    section: &TrainingSection,
) -> Vec<(&'static str, u64)> {
    vec![
        weights,
        ("parameter, gradient, moments, best", leaves.values.saturating_mul(5 * 4)),
        ("activations", activations(model, tokens, leaves.depth)),
        ("logits", tokens.min(answer_tokens(section)).saturating_mul(3 * 4 * model.vocabulary as u64)),
    ]
}

/// Values that `depth` layers keep of `tokens` tokens. A config may ask for more than there are numbers for.
fn activations(model: &ModelConfig, tokens: u64, depth: u64) -> u64 {
    tokens.saturating_mul(4 * (depth * per_token(model) + 2 * model.hidden as u64))
}

/// Values that a layer keeps of each token for the backward pass.
fn per_token(model: &ModelConfig) -> u64 {
    let (queries, keys) = (model.heads * model.head_dim, model.key_value_heads * model.head_dim);
    (16 * model.hidden + 2 * queries + 4 * keys + 6 * model.intermediate) as u64
}

/// One pass without gradients: two layers' intermediate values and the logits of half of the tokens.
fn one_pass(model: &ModelConfig, tokens: u64) -> u64 {
    tokens.saturating_mul(4 * (2 * per_token(model) + model.vocabulary as u64 / 2))
}

/// Tokens of a batch. A question with its answer rarely has more than 128 tokens.
fn tuned_tokens(config: &RunConfig, section: &TrainingSection, model: &ModelConfig) -> u64 {
    let length = if config.data.task.is_some() { 128 } else { u64::from(config.data.block_length) };
    u64::from(section.batch_size.get()).saturating_mul(length.min(model.context as u64))
}

/// Rows that need logits: an answer has few tokens, a block of text only has targets.
fn answer_tokens(section: &TrainingSection) -> u64 {
    u64::from(section.batch_size.get()) * 32
}

fn largest_matrix(model: &ModelConfig) -> u64 {
    let size = |role: WeightRole| model.shape(role).iter().product::<i64>().unsigned_abs();
    let largest = WeightRole::ALL.into_iter().map(size).max().unwrap_or(0);
    largest.max((model.vocabulary * model.hidden) as u64)
}
