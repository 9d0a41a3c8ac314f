//! Strategies that come to another end when they are stopped in between: the fake host's batches all differ, so this shows.

use scaleot_plugin_api::{
    Adapter, AdapterModule, AdapterPart, Checkpoint, Host, ImportanceEstimator, ImportanceScores, LayerMask,
    LayerOutline, LayerReplacer, Module, PluginError, StepReport, Strategy, Substitute, Tuner, export_plugin,
};
use scaleot_plugin_api::{FitStep, TokenWeight};

const BATCHES: u32 = 6;

/// A mean over batches that is kept wrongly.
#[derive(Default)]
struct Mean<const FAULT: usize> {
    done: u32,
    sums: Vec<f64>,
}

const BEHIND: usize = 0;
const WITHOUT_SUMS: usize = 1;
const RECORDS_LATE: usize = 2;

impl<const FAULT: usize> Strategy for Mean<FAULT> {
    type Options = crate::NoOptions;
    fn new(_: crate::NoOptions) -> Result<Self, PluginError> {
        Ok(Self::default())
    }
}

impl<const FAULT: usize> ImportanceEstimator for Mean<FAULT> {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        let n = host.outline()?.n_layers();
        let full = LayerMask::all_original(n);
        let each: Vec<_> = (0..n).map(|layer| full.clone().with_replaced(&[layer])).collect();
        self.sums.resize(n, 0.0);
        while self.done < BATCHES {
            let losses = host.losses(&each)?;
            self.sums.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss);
            self.done += 1;
            if FAULT == WITHOUT_SUMS {
                host.record("mean", self.done.into(), &self.sums)?;
            }
            host.progress(self.done.into(), BATCHES.into(), self)?;
            if FAULT == RECORDS_LATE {
                host.record("mean", self.done.into(), &self.sums)?;
            }
        }
        Ok(ImportanceScores::new(self.sums.iter().map(|sum| (sum / f64::from(self.done)) as f32).collect()))
    }
}

impl<const FAULT: usize> Checkpoint for Mean<FAULT> {
    fn save(&self) -> Result<Vec<u8>, PluginError> {
        let done = if FAULT == BEHIND { self.done.saturating_sub(1) } else { self.done };
        Ok(serde_json::to_vec(&(done, if FAULT == WITHOUT_SUMS { Vec::new() } else { self.sums.clone() }))?)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), PluginError> {
        (self.done, self.sums) = serde_json::from_slice(state)?;
        Ok(())
    }
}

/// A mean over batches that reports its progress, and keeps the default of a strategy without state.
#[derive(Default)]
struct KeepsNothing {
    sums: Vec<f64>,
}

impl Strategy for KeepsNothing {
    type Options = crate::NoOptions;
    fn new(_: crate::NoOptions) -> Result<Self, PluginError> {
        Ok(Self::default())
    }
}

impl ImportanceEstimator for KeepsNothing {
    fn estimate(&mut self, host: &mut Host) -> Result<ImportanceScores, PluginError> {
        let n = host.outline()?.n_layers();
        let full = LayerMask::all_original(n);
        let each: Vec<_> = (0..n).map(|layer| full.clone().with_replaced(&[layer])).collect();
        self.sums = vec![0.0; n];
        for done in 1..=BATCHES {
            let losses = host.losses(&each)?;
            self.sums.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss);
            host.progress(done.into(), BATCHES.into(), self)?;
        }
        Ok(ImportanceScores::new(self.sums.iter().map(|sum| (sum / f64::from(BATCHES)) as f32).collect()))
    }
}

impl Checkpoint for KeepsNothing {}

/// A replacer that marks points while it prepares, and forgets how far it was.
struct PreparesAgain;

impl Strategy for PreparesAgain {
    type Options = crate::NoOptions;
    fn new(_: crate::NoOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }
}

impl LayerReplacer for PreparesAgain {
    fn substitute(&mut self, layer: &LayerOutline, host: &mut Host) -> Result<Substitute, PluginError> {
        let weight = host.zeros(&[layer.hidden_size, layer.hidden_size])?;
        Ok(Substitute::trainable(Module::Linear { weight, bias: None }))
    }

    fn prepare(&mut self, host: &mut Host) -> Result<(), PluginError> {
        for pass in 1..=3 {
            host.fit_step(&FitStep::new(1e-3, 1, 1, TokenWeight::Uniform))?;
            host.progress(pass, 3, self)?;
        }
        Ok(())
    }
}

impl Checkpoint for PreparesAgain {}

/// An adapter that takes one and two gradient steps in turn, and forgets whose turn it is.
#[derive(Default)]
struct Alternates {
    two: bool,
}

impl Strategy for Alternates {
    type Options = crate::NoOptions;
    fn new(_: crate::NoOptions) -> Result<Self, PluginError> {
        Ok(Self::default())
    }
}

impl Adapter for Alternates {
    fn attach(&mut self, _: &LayerOutline) -> Result<AdapterModule, PluginError> {
        Ok(AdapterModule::new(vec![AdapterPart::WholeLayer]))
    }

    fn step(&mut self, tuner: &mut Tuner) -> Result<StepReport, PluginError> {
        self.two = !self.two;
        if !self.two {
            tuner.gradient_step()?;
        }
        tuner.gradient_step()
    }
}

impl Checkpoint for Alternates {}

/// An adapter that asks for what no host has during a step.
struct Curious;

impl Strategy for Curious {
    type Options = crate::NoOptions;
    fn new(_: crate::NoOptions) -> Result<Self, PluginError> {
        Ok(Self)
    }
}

impl Adapter for Curious {
    fn attach(&mut self, _: &LayerOutline) -> Result<AdapterModule, PluginError> {
        Ok(AdapterModule::new(vec![AdapterPart::WholeLayer]))
    }

    fn step(&mut self, tuner: &mut Tuner) -> Result<StepReport, PluginError> {
        tuner.host().trainable_layers()?;
        tuner.gradient_step()
    }
}

impl Checkpoint for Curious {}

export_plugin! {
    name: "resuming",
    about: "Strategies that do not go on where they were.",
    built_in,
    strategies: {
        "behind": importance Mean<BEHIND>, "Takes its last batch twice.";
        "without-sums": importance Mean<WITHOUT_SUMS>, "Keeps the count and not the sums.";
        "records-late": importance Mean<RECORDS_LATE>, "Marks a point before the curve has it.";
        "keeps-nothing": importance KeepsNothing, "Reports progress and cannot go on.";
        "prepares-again": replace PreparesAgain, "Prepares from the start.";
        "alternates": adapter Alternates, "Forgets whose turn it is.";
        "curious": adapter Curious, "Asks for what is not offered.";
    }
}

#[test]
fn are_found() {
    let importance = "goes on from its last checkpoint";
    crate::assert_found(
        scaleot_root_module(),
        &[
            ("behind", importance, "from checkpoint 1 of 6 it scores"),
            ("without-sums", importance, "from checkpoint 1 of 6 it scores"),
            ("records-late", importance, "its curves are others than without a stop"),
            ("keeps-nothing", importance, "from checkpoint 1 of 6 it scores"),
            ("prepares-again", "goes on preparing from its last checkpoint", "it comes to another end"),
            ("alternates", "goes on tuning from what it saved", "after step 1 it went on with"),
            ("curious", "tunes by gradient steps with a finite loss", "is not offered during `step`"),
        ],
    );
}
