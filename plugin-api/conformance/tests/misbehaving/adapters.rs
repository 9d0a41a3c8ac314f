//! Adapters that break a promise each.

use scaleot_plugin_api::{
    Activation, Adapter, AdapterModule, AdapterPart, Checkpoint, LayerOutline, PluginError, StepReport, Tuner,
    WeightRole, export_plugin,
};

crate::faults! { Faulty:
    NOTHING = 0, NO_GATE = 1, RANK_ZERO = 2, HIGH_RANK = 3, NORM = 4, SAME_TWICE = 5, NO_BIAS = 7,
    EMPTY = 8, IDLE = 9, NAN = 10,
}

impl<const FAULT: usize> Adapter for Faulty<FAULT> {
    fn attach(&mut self, _: &LayerOutline) -> Result<AdapterModule, PluginError> {
        let lora = |role, rank| AdapterPart::LowRankDelta { role, rank, alpha: 1.0 };
        let parts = match FAULT {
            NOTHING => vec![],
            NO_GATE => vec![lora(WeightRole::MlpGate, 1)],
            RANK_ZERO => vec![lora(WeightRole::AttentionQ, 0)],
            HIGH_RANK => vec![lora(WeightRole::AttentionQ, 99)],
            NORM => vec![lora(WeightRole::NormMlp, 1)],
            SAME_TWICE => vec![lora(WeightRole::AttentionQ, 1), lora(WeightRole::AttentionQ, 2)],
            NO_BIAS => vec![AdapterPart::BiasOnly],
            EMPTY => {
                vec![AdapterPart::Bottleneck { role: WeightRole::MlpDown, size: 0, activation: Activation::Relu }]
            }
            _ => vec![AdapterPart::WholeLayer],
        };
        Ok(AdapterModule::new(parts))
    }

    fn step(&mut self, tuner: &mut Tuner) -> Result<StepReport, PluginError> {
        match FAULT {
            IDLE => Ok(StepReport::new(1.0)),
            NAN => Ok(StepReport::new(tuner.gradient_step()?.loss / 0.0)),
            _ => tuner.gradient_step(),
        }
    }
}

impl<const FAULT: usize> Checkpoint for Faulty<FAULT> {}

export_plugin! {
    name: "adapters",
    about: "Adapters that break a promise each.",
    built_in,
    strategies: {
        "nothing": adapter Faulty<NOTHING>, "Trains nothing.";
        "no-gate": adapter Faulty<NO_GATE>, "Takes for granted that there is a gate.";
        "rank-zero": adapter Faulty<RANK_ZERO>, "Asks for a rank of 0.";
        "high-rank": adapter Faulty<HIGH_RANK>, "Asks for more rank than there is.";
        "norm": adapter Faulty<NORM>, "Puts a delta on a norm.";
        "same-twice": adapter Faulty<SAME_TWICE>, "Puts two deltas on one projection.";
        "no-bias": adapter Faulty<NO_BIAS>, "Takes for granted that there are biases.";
        "empty": adapter Faulty<EMPTY>, "Has a bottleneck of no width.";
        "idle": adapter Faulty<IDLE>, "Takes no step.";
        "nan": adapter Faulty<NAN>, "Reports an infinite loss.";
    }
}

#[test]
fn are_found() {
    let parts = "trains parts that the layer has";
    let steps = "tunes by gradient steps with a finite loss";
    crate::assert_found(
        scaleot_root_module(),
        &[
            ("nothing", parts, "nothing trains in layer 0"),
            ("no-gate", parts, "names mlp.gate, which is no projection of the layer (model toy-grouped-query)"),
            ("rank-zero", parts, "rank: 0"),
            ("high-rank", parts, "rank: 99"),
            ("norm", parts, "names norm.mlp"),
            ("same-twice", parts, "is a second part in one place"),
            ("no-bias", parts, "BiasOnly does not fit (model toy)"),
            ("empty", parts, "size: 0"),
            ("idle", steps, "a step took no gradient step"),
            ("nan", steps, "the loss of a tuning step is inf"),
        ],
    );
}
