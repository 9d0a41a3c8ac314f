//! A strategy in use, and typed handles for three of the four kinds (`compressor` has the fourth). What comes back is checked here, like file input.

use super::arena::Arena;
use super::error::PluginFault;
use super::module_check::check_module;
use super::registered::{PluginSource, RegisteredPlugin};
use super::services::{NoQuestions, Questions, Services};
use crate::isolation::active_call::{self, Turn};
use scaleot_plugin_api::export::RawStrategy;
use scaleot_plugin_api::{
    AdapterModule, AdapterPart, ErrorCode, Handle, ImportanceScores, LayerOutline, LayerPlan, LayerRole, Method,
    Module, Objective, PluginError, ReplaceRequest, SelectRequest, StepReport, StrategyKind, StrategyName, Substitute,
};
use scaleot_tensor::{GradMode, Tensor};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::rc::Rc;

/// A strategy with its options, ready to be called.
pub struct StrategyUse {
    // Dropped before the arena: a strategy's destructor may release tensors.
    raw: RawStrategy,
    pub(super) arena: Rc<Arena>,
    name: StrategyName,
    source: PluginSource,
    kind: StrategyKind,
    /// Set when the strategy is dropped, and dropped after `raw`.
    dropping: Option<Turn>,
}

impl Drop for StrategyUse {
    fn drop(&mut self) {
        self.dropping = Some(active_call::call(&self.name, &self.source, "drop"));
    }
}

impl StrategyUse {
    pub(super) fn create(
        plugin: &RegisteredPlugin,
        name: &StrategyName,
        kind: StrategyKind,
        options: &serde_json::Value,
    ) -> Result<Self, PluginFault> {
        let refused = |error: PluginError| match error.code {
            ErrorCode::Options => PluginFault::Options { used: name.to_string(), error },
            _ => PluginFault::Failed {
                used: name.to_string(),
                source_text: plugin.source.to_string(),
                call: "create",
                error,
            },
        };
        let options = serde_json::to_vec(options).map_err(|error| refused(error.into()))?;
        let turn = active_call::call(name, &plugin.source, "create");
        let made = (plugin.module.create())(name.strategy().into(), options.as_slice().into());
        drop(turn);
        let raw = made.into_result().map_err(|bytes| {
            refused(serde_json::from_slice(&bytes).unwrap_or_else(|_| PluginError::failed("its error cannot be read")))
        })?;
        Ok(Self {
            raw,
            arena: Rc::new(Arena::new(plugin.record.libtorch.is_some())),
            name: name.clone(),
            source: plugin.source.clone(),
            kind,
            dropping: None,
        })
    }

    /// Its name, `plugin/strategy`.
    pub fn name(&self) -> &StrategyName {
        &self.name
    }

    /// The source of its code.
    pub fn source(&self) -> &PluginSource {
        &self.source
    }

    pub(super) fn call<A: DeserializeOwned>(
        &mut self,
        method: Method,
        request: &impl Serialize,
        questions: &mut dyn Questions,
    ) -> Result<A, PluginFault> {
        let request = serde_json::to_vec(request).map_err(|error| self.failed(method, error.into()))?;
        let answer = self.ask(method, &request, questions)?;
        serde_json::from_slice(&answer).map_err(|error| self.failed(method, error.into()))
    }

    /// One call, bytes to bytes.
    fn ask(&mut self, method: Method, request: &[u8], questions: &mut dyn Questions) -> Result<Vec<u8>, PluginFault> {
        let mut services = Services::new(&self.arena, questions).during(method);
        let turn = active_call::call(&self.name, &self.source, method.as_str());
        // A plugin of the `tch` tier that panics may have switched it.
        let mode = self.arena.shares_libtorch().then(GradMode::keep);
        let answer = self.raw.call(method, request, &mut services);
        drop(mode);
        drop(turn);
        answer.map_err(|error| self.failed(method, error))
    }

    /// The same strategy, if it is of this kind.
    ///
    /// # Errors
    /// `OtherKind`, with both kinds.
    pub(super) fn of_kind(self, expected: StrategyKind) -> Result<Self, PluginFault> {
        if self.kind == expected {
            return Ok(self);
        }
        let (used, found) = (self.name.to_string(), self.kind.as_str());
        Err(PluginFault::OtherKind { used, found, expected: expected.as_str() })
    }

    /// The state that the strategy keeps across a stop; bytes of its own.
    fn save(&mut self) -> Result<Vec<u8>, PluginFault> {
        self.ask(Method::Save, &[], &mut NoQuestions)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), PluginFault> {
        self.ask(Method::Restore, state, &mut NoQuestions).map(drop)
    }

    pub(super) fn failed(&self, method: Method, error: PluginError) -> PluginFault {
        let (used, source_text) = (self.name.to_string(), self.source.to_string());
        PluginFault::Failed { used, source_text, call: method.as_str(), error }
    }

    pub(super) fn wrong(&self, method: Method, found: impl Into<String>, expected: impl Into<String>) -> PluginFault {
        PluginFault::BadValue {
            used: self.name.to_string(),
            source_text: self.source.to_string(),
            call: method.as_str(),
            found: found.into(),
            expected: expected.into(),
        }
    }
}

/// An importance estimator in use.
pub struct EstimatorHandle(StrategyUse);

impl TryFrom<StrategyUse> for EstimatorHandle {
    type Error = PluginFault;

    fn try_from(used: StrategyUse) -> Result<Self, PluginFault> {
        used.of_kind(StrategyKind::Importance).map(Self)
    }
}

impl EstimatorHandle {
    /// Its name, `plugin/strategy`.
    pub fn name(&self) -> &StrategyName {
        self.0.name()
    }

    /// One finite score per layer.
    ///
    /// # Errors
    /// Those of the plugin, or `BadValue` for a wrong count or a score that is not finite.
    pub fn estimate(
        &mut self,
        n_layers: usize,
        questions: &mut dyn Questions,
    ) -> Result<ImportanceScores, PluginFault> {
        let scores: ImportanceScores = self.0.call(Method::Estimate, &(), questions)?;
        if scores.scores.len() != n_layers {
            let (found, expected) = (format!("{} scores", scores.scores.len()), format!("{n_layers}, one per layer"));
            return Err(self.0.wrong(Method::Estimate, found, expected));
        }
        if let Some(layer) = scores.scores.iter().position(|score| !score.is_finite()) {
            let found = format!("the score {:?} for layer {layer}", scores.scores.get(layer));
            return Err(self.0.wrong(Method::Estimate, found, "finite scores"));
        }
        Ok(scores)
    }

    /// Gives the plugin back the state that a checkpoint kept of it.
    ///
    /// # Errors
    /// Those of the plugin.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), PluginFault> {
        self.0.restore(state)
    }
}

/// A layer replacer in use.
pub struct ReplacerHandle(StrategyUse);

impl TryFrom<StrategyUse> for ReplacerHandle {
    type Error = PluginFault;

    fn try_from(used: StrategyUse) -> Result<Self, PluginFault> {
        used.of_kind(StrategyKind::Replace).map(Self)
    }
}

impl ReplacerHandle {
    /// The stand-in for a layer of a model of `n_layers`, with host tensors in it.
    ///
    /// # Errors
    /// Those of the plugin, or `BadValue` for tensors that do not exist, do not fit or are not finite.
    pub fn substitute(
        &mut self,
        layer: &LayerOutline,
        n_layers: usize,
        questions: &mut dyn Questions,
    ) -> Result<Substitute<Tensor>, PluginFault> {
        let Substitute { module, trainable, .. } =
            self.0.call::<Substitute<Handle>>(Method::Substitute, layer, questions)?;
        let arena = Rc::clone(&self.0.arena);
        let module: Module<Tensor> = module
            .try_map(&mut |handle| arena.take(handle))
            .map_err(|error| self.0.failed(Method::Substitute, error))?;
        check_module(&module, layer.hidden_size, n_layers).map_err(|(found, expected)| {
            self.0.wrong(Method::Substitute, format!("{found} in the substitute of layer {}", layer.index), expected)
        })?;
        for tensor in module.tensors() {
            if !tensor.is_finite_all().unwrap_or(false) {
                let found = format!("a value that is not finite in the substitute of layer {}", layer.index);
                return Err(self.0.wrong(Method::Substitute, found, "finite values"));
            }
        }
        Ok(Substitute::new(module, trainable))
    }

    /// Lets the replacer bring its installed substitutes near their layers.
    ///
    /// # Errors
    /// Those of the plugin.
    pub fn prepare(&mut self, questions: &mut dyn Questions) -> Result<(), PluginFault> {
        self.0.call(Method::Prepare, &(), questions)
    }

    /// The plugin's state in a checkpoint once it has prepared.
    ///
    /// # Errors
    /// Those of the plugin.
    pub fn save(&mut self) -> Result<Vec<u8>, PluginFault> {
        self.0.save()
    }

    /// Gives the plugin back the state that a checkpoint kept of it, or what [`save`](Self::save) gave.
    ///
    /// # Errors
    /// Those of the plugin.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), PluginFault> {
        self.0.restore(state)
    }

    /// The layers that are replaced.
    ///
    /// # Errors
    /// Those of the plugin, or `BadValue` for a plan that breaks the request.
    pub fn select(&mut self, scores: &ImportanceScores, ask: &ReplaceRequest) -> Result<LayerPlan, PluginFault> {
        let request = SelectRequest::new(scores.clone(), ask.clone());
        let plan: LayerPlan = self.0.call(Method::Select, &request, &mut NoQuestions)?;
        if plan.layers.len() != ask.n_layers {
            let found = format!("a plan of {} layers", plan.layers.len());
            return Err(self.0.wrong(Method::Select, found, format!("one of {}", ask.n_layers)));
        }
        if plan.layers_with(LayerRole::Adapter) != ask.adapter_layers {
            let found = format!("adapters at {:?}", plan.layers_with(LayerRole::Adapter));
            return Err(self.0.wrong(Method::Select, found, format!("the adapter layers {:?}", ask.adapter_layers)));
        }
        let replaced = plan.layers_with(LayerRole::Replace).len();
        if replaced != ask.replace_count {
            let expected = format!("replace_count = {}", ask.replace_count);
            return Err(self.0.wrong(Method::Select, format!("{replaced} layers replaced"), expected));
        }
        Ok(plan)
    }

    /// The objective of the training after the choice, if any.
    ///
    /// # Errors
    /// Those of the plugin, or `BadValue` for a weight that is not finite.
    pub fn objective(&mut self) -> Result<Option<Objective>, PluginFault> {
        let objective: Option<Objective> = self.0.call(Method::Objective, &(), &mut NoQuestions)?;
        if let Some(objective) = &objective
            && objective.terms.iter().any(|(weight, _)| !weight.is_finite())
        {
            return Err(self.0.wrong(Method::Objective, "a weight that is not finite", "finite weights"));
        }
        Ok(objective)
    }
}

/// An adapter in use.
pub struct AdapterHandle(StrategyUse);

impl TryFrom<StrategyUse> for AdapterHandle {
    type Error = PluginFault;

    fn try_from(used: StrategyUse) -> Result<Self, PluginFault> {
        used.of_kind(StrategyKind::Adapter).map(Self)
    }
}

impl AdapterHandle {
    /// The parts that train in an adapter layer.
    ///
    /// # Errors
    /// Those of the plugin, or `BadValue` for parts that the layer cannot have.
    pub fn attach(&mut self, layer: &LayerOutline) -> Result<AdapterModule, PluginFault> {
        let module: AdapterModule = self.0.call(Method::Attach, layer, &mut NoQuestions)?;
        if module.parts.is_empty() {
            return Err(self.0.wrong(Method::Attach, "an adapter without parts", "at least one part that trains"));
        }
        if let Some(part) = module.parts.iter().find(|part| !part.fits(layer)) {
            let expected = format!(
                "a projection or bias that layer {} has, a size in 1..={}",
                layer.index,
                AdapterPart::LARGEST_SIZE
            );
            return Err(self.0.wrong(Method::Attach, part.to_string(), expected));
        }
        Ok(module)
    }

    /// The state of the plugin in a checkpoint.
    ///
    /// # Errors
    /// Those of the plugin.
    pub fn save(&mut self) -> Result<Vec<u8>, PluginFault> {
        self.0.save()
    }

    /// Gives the plugin back what [`save`](Self::save) gave.
    ///
    /// # Errors
    /// Those of the plugin.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), PluginFault> {
        self.0.restore(state)
    }

    /// One tuning step; the stage answers `gradient_step`.
    ///
    /// # Errors
    /// Those of the plugin, or `BadValue` for a loss that is not finite.
    pub fn step(&mut self, questions: &mut dyn Questions) -> Result<StepReport, PluginFault> {
        let report: StepReport = self.0.call(Method::Step, &(), questions)?;
        if !report.loss.is_finite() {
            return Err(self.0.wrong(Method::Step, format!("the loss {}", report.loss), "a finite loss"));
        }
        Ok(report)
    }
}
