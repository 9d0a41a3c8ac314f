//! Layer replacers that break a promise each.

use scaleot_plugin_api::{
    Activation, Checkpoint, Host, ImportanceScores, LayerOutline, LayerPlan, LayerReplacer, LayerRole, Module,
    NormKind, Objective, ObjectiveTerm, PluginError, ReplaceRequest, Substitute, export_plugin,
};

crate::faults! { Replacer:
    WIDE = 0, NAN = 1, NARROW_BIAS = 2, BAD_NORM = 3, SHARES_NOTHING = 4, TRAINS_NOTHING = 5, TWICE = 6, ONE_LESS = 7,
    ADAPTER = 8, SHORT = 9, GREEDY = 10, NO_TERM = 11, COLD = 12, BAD_RESIDUAL = 13, LEAKS = 14,
}

impl<const FAULT: usize> LayerReplacer for Replacer<FAULT> {
    fn substitute(&mut self, layer: &LayerOutline, host: &mut Host) -> Result<Substitute, PluginError> {
        let d = layer.hidden_size;
        let mut linear = |outputs: usize, bias: usize| -> Result<Module, PluginError> {
            Ok(Module::Linear { weight: host.zeros(&[outputs, d])?, bias: Some(host.zeros(&[bias])?) })
        };
        let module = match FAULT {
            WIDE => linear(d + 1, d + 1)?,
            NARROW_BIAS => linear(d, d - 1)?,
            BAD_RESIDUAL => Module::Residual { module: Box::new(linear(1, 1)?) },
            NAN => Module::Linear { weight: host.from_f32(&vec![f32::NAN; d * d], &[d, d])?, bias: None },
            BAD_NORM => {
                let (weight, bias) = (host.zeros(&[d])?, Some(host.zeros(&[d])?));
                Module::Norm { function: NormKind::Rms, weight, bias, epsilon: 1e-5 }
            }
            SHARES_NOTHING => Module::SharedWith { layer: 99 },
            TRAINS_NOTHING => {
                return Ok(Substitute::trainable(Module::Activation { function: Activation::Gelu }));
            }
            LEAKS => {
                std::mem::forget(host.zeros(&[1])?);
                Module::Identity
            }
            _ => Module::Sequential { modules: vec![Module::Identity] },
        };
        Ok(Substitute::frozen(module))
    }

    fn select(&mut self, _: &ImportanceScores, ask: &ReplaceRequest) -> Result<LayerPlan, PluginError> {
        let middle = ask.middle();
        let chosen = match (FAULT, middle.get(..ask.replace_count)) {
            (GREEDY, None) => &middle[..],
            (_, None) => return Err(PluginError::failed("too many")),
            (ONE_LESS, Some(chosen)) => chosen.split_last().map_or(chosen, |(_, rest)| rest),
            (_, Some(chosen)) => chosen,
        };
        let mut plan = LayerPlan::from_replaced(ask, chosen)?;
        match FAULT {
            TWICE => drop(LayerPlan::from_replaced(ask, &[&middle[..1], &middle[..1]].concat())?),
            ADAPTER => plan.layers.iter_mut().filter(|role| **role == LayerRole::Adapter).for_each(|role| {
                *role = LayerRole::Keep;
            }),
            SHORT => drop(plan.layers.pop()),
            _ => {}
        }
        Ok(plan)
    }

    fn objective(&self) -> Option<Objective> {
        match FAULT {
            NO_TERM => Some(Objective::sum(Vec::new())),
            COLD => Some(Objective::new(1.0, ObjectiveTerm::LogitKl { temperature: 0.0 })),
            _ => None,
        }
    }
}

impl<const FAULT: usize> Checkpoint for Replacer<FAULT> {}

export_plugin! {
    name: "replacers",
    about: "Replacers that break a promise each.",
    built_in,
    strategies: {
        "wide": replace Replacer<WIDE>, "Maps to another width.";
        "nan": replace Replacer<NAN>, "Has a NaN.";
        "narrow-bias": replace Replacer<NARROW_BIAS>, "Has a bias that does not fit.";
        "bad-norm": replace Replacer<BAD_NORM>, "Has a bias in a norm that has none.";
        "shares-nothing": replace Replacer<SHARES_NOTHING>, "Shares a layer that does not exist.";
        "trains-nothing": replace Replacer<TRAINS_NOTHING>, "Says that it trains, without a tensor.";
        "twice": replace Replacer<TWICE>, "Plans a layer twice.";
        "one-less": replace Replacer<ONE_LESS>, "Replaces one layer less than asked.";
        "adapter": replace Replacer<ADAPTER>, "Forgets the adapters.";
        "short": replace Replacer<SHORT>, "Plans for one layer less.";
        "greedy": replace Replacer<GREEDY>, "Replaces what it can.";
        "no-term": replace Replacer<NO_TERM>, "Trains towards nothing.";
        "cold": replace Replacer<COLD>, "Divides by a temperature of 0.";
        "bad-residual": replace Replacer<BAD_RESIDUAL>, "Adds one value to all.";
        "leaks": replace Replacer<LEAKS>, "Never gives a tensor back.";
    }
}

#[test]
fn are_found() {
    let substitutes = "offers substitutes that map hidden to hidden";
    let selections = "replaces as many layers as asked, never an adapter";
    let objective = "trains towards a sane objective, if any";
    crate::assert_found(
        scaleot_root_module(),
        &[
            ("wide", substitutes, "layer 0 maps 8 to 9 values"),
            ("nan", substitutes, "has a value that is not finite"),
            ("narrow-bias", substitutes, "has a linear part of [8, 8] for 8 values"),
            ("bad-norm", substitutes, "has a norm of [8] that does not fit"),
            ("shares-nothing", substitutes, "shares layer 99, the model has 6"),
            ("trains-nothing", substitutes, "trains, but has no tensor"),
            ("bad-residual", substitutes, "adds 1 values to 8"),
            ("leaks", substitutes, "6 tensors are still held"),
            ("twice", selections, "layer 1 is planned as Replace and as Replace"),
            ("one-less", selections, "replace_count: 1"),
            ("adapter", selections, "adapter_layers: [0, 5]"),
            ("short", selections, "n_layers: 6"),
            ("greedy", "refuses to replace more layers than there are", "it planned"),
            ("no-term", objective, "it has no term"),
            ("cold", objective, "temperature: 0.0"),
        ],
    );
}
